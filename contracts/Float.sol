// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// The money that payouts are made from, on one network: it pays lines of an asset, or sends an asset to the vault.
///
/// What an auditor may check in one reading:
///  - Owner and vault are immutable, part of the code. No storage, no upgrade, no selfdestruct, no delegatecall.
///  - Only OWNER may name a destination, and only in the call data of `pay`. Nothing ever is approved, so nothing can be
///    taken from here later. OWNER's own account need hold nothing but gas.
///  - A line takes exactly its units from this contract, or nothing at all, and then `Unpaid` names it.
///  - One bad destination or token stops no other line: each is tried by itself, with an amount of gas of its own that it
///    cannot exceed, and nothing that it answers is copied. Where that much gas is not left, all of the call is undone:
///    no line is `Unpaid` for want of gas that the caller should have given.
///  - Calling back in is useless: `pay` obeys OWNER, `toVault` OWNER and VAULT, `payToken` this contract alone.
///  - The bounds on gas can lock nothing in, should gas be repriced: `toVault` has none. VAULT may call it as well, so the
///    money outlives the loss of OWNER's key.
contract Float {
    /// Coin arrived by a plain call.
    event Received(address indexed from, uint256 units);
    /// Line number `index` of this call, as it was given, could not be paid; nothing of it moved.
    event Unpaid(uint256 index, uint256 line);
    /// `units` left for the vault; `token` is zero for the network's own coin.
    event Returned(address indexed token, uint256 units);

    error NotTheOwner();
    error NotItself();
    error TooLittleGas();
    error NotExact();
    error NothingMoved();

    address public immutable OWNER;
    address public immutable VAULT;

    /// What one line may use: a destination to take coin (a Safe or other smart wallet needs some 7,000), a token to move.
    uint256 private constant COIN_GAS = 30_000;
    uint256 private constant TOKEN_GAS = 120_000;
    /// What giving a line its gas costs besides: at most some 37,000, when coin makes a new account.
    uint256 private constant CALL_GAS = 50_000;

    constructor(address owner, address vault) {
        OWNER = owner;
        VAULT = vault;
    }

    /// Takes coin within the 2,300 gas of `transfer`.
    receive() external payable {
        emit Received(msg.sender, msg.value);
    }

    /// Pays each of these lines, `address << 96 | units`, in `token` (zero: the network's own coin), or says `Unpaid`.
    function pay(address token, uint256[] calldata lines) external {
        if (msg.sender != OWNER) revert NotTheOwner();
        uint256 gas_ = token == address(0) ? COIN_GAS : TOKEN_GAS;
        // A call is given at most 63/64 of what is left, in silence (EIP-150).
        uint256 needed = gas_ + gas_ / 63 + CALL_GAS;
        for (uint256 i = 0; i < lines.length; ++i) {
            if (gasleft() < needed) revert TooLittleGas();
            bool paid = token == address(0) ? _payCoin(lines[i]) : _payToken(token, lines[i]);
            if (!paid) emit Unpaid(i, lines[i]);
        }
    }

    /// Sends so much of `token` (zero: the network's own coin) to the vault, or reverts and moves nothing.
    function toVault(address token, uint256 units) external {
        if (msg.sender != OWNER && msg.sender != VAULT) revert NotTheOwner();
        if (token == address(0)) {
            (bool sent, ) = VAULT.call{value: units}("");
            if (!sent) revert NothingMoved();
        } else {
            uint256 before = _balance(token);
            _transfer(token, VAULT, units);
            // Any token may come home, also one that takes a fee beside: what counts is what is gone.
            uint256 left = _balance(token);
            if (left >= before) revert NothingMoved();
            units = before - left;
        }
        emit Returned(token, units);
    }

    /// One line of `pay`, in a call of its own so that all that a token did is undone unless exactly the line is gone.
    /// What arrives is the token's affair: one that keeps a fee back has paid, one that takes a fee beside has not.
    function payToken(address token, uint256 line) external {
        if (msg.sender != address(this)) revert NotItself();
        uint256 before = _balance(token);
        _transfer(token, _payee(line), _units(line));
        if (before - _balance(token) != _units(line)) revert NotExact();
    }

    function _payToken(address token, uint256 line) private returns (bool) {
        try this.payToken{gas: TOKEN_GAS}(token, line) {
            return true;
        } catch {
            return false;
        }
    }

    /// Paying itself would move nothing, so such a line is not paid.
    function _payCoin(uint256 line) private returns (bool paid) {
        address payee = _payee(line);
        uint256 units = _units(line);
        if (payee == address(this)) return false;
        assembly ("memory-safe") {
            paid := call(COIN_GAS, payee, units, 0, 0, 0, 0)
        }
    }

    /// What the token answers is not looked at: old ones (USDT) return nothing, others `false` instead of reverting,
    /// some `true` without having moved anything. The caller looks at the balance instead.
    function _transfer(address token, address to, uint256 units) private {
        bytes memory call_ = abi.encodeWithSignature("transfer(address,uint256)", to, units);
        assembly ("memory-safe") {
            pop(call(gas(), token, 0, add(call_, 32), mload(call_), 0, 0))
        }
    }

    function _balance(address token) private view returns (uint256 units) {
        bytes memory call_ = abi.encodeWithSignature("balanceOf(address)", address(this));
        bool answered;
        assembly ("memory-safe") {
            answered := staticcall(gas(), token, add(call_, 32), mload(call_), 0, 32)
            answered := and(answered, gt(returndatasize(), 31))
            units := mload(0)
        }
        if (!answered) revert NothingMoved();
    }

    function _payee(uint256 line) private pure returns (address) {
        return address(uint160(line >> 96));
    }

    function _units(uint256 line) private pure returns (uint256) {
        return uint96(line);
    }
}
