// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// The code behind every deposit address: it moves what lies there to one vault, and can do nothing else.
///
/// A deposit address is a small proxy (see `ForwarderFactory`) that delegates here, so `this` is the deposit address.
///
/// What an auditor may check in one reading:
///  - The vault is immutable, part of the code. No storage, no owner, no upgrade, no selfdestruct, no delegatecall here.
///  - The one external function takes no destination: value and tokens go to VAULT, whoever asks.
///  - Only the factory may call it. That guards no money (it could only go to the vault); it keeps the factory's
///    re-entrancy lock in force, on which the exactness of `Flushed` rests.
///  - Nothing ever is approved, so no token allowance outlives a call.
contract Forwarder {
    /// `units` left this deposit address for the vault; `token` is zero for the network's own coin. Emitted by the
    /// deposit address itself, so a reader need trust no other contract's word: it adds these to the balance difference.
    event Flushed(address indexed token, uint256 units);

    error NotTheFactory();
    error NothingMoved();

    address public immutable FACTORY;
    address public immutable VAULT;

    constructor(address vault) {
        FACTORY = msg.sender;
        VAULT = vault;
    }

    /// Sends the whole balance of `token` (zero: the network's own coin) to the vault, or reverts and moves nothing.
    function forward(address token) external {
        if (msg.sender != FACTORY) revert NotTheFactory();
        uint256 units;
        if (token == address(0)) {
            units = address(this).balance;
            (bool sent, ) = VAULT.call{value: units}("");
            if (!sent) revert NothingMoved();
        } else {
            uint256 before = _balance(token);
            _transfer(token, before);
            // Not what was asked for or answered but what is gone: a token may refuse in silence, or keep some back.
            uint256 left = _balance(token);
            if (left >= before) revert NothingMoved();
            units = before - left;
        }
        emit Flushed(token, units);
    }

    /// What the token answers is not looked at: old ones (USDT) return nothing, others `false` instead of reverting,
    /// some `true` without having moved anything. The caller looks at the balance instead.
    /// Nothing of the answer is copied, so a token cannot burn gas with a long one.
    function _transfer(address token, uint256 units) private {
        bytes memory call_ = abi.encodeWithSignature("transfer(address,uint256)", VAULT, units);
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
}
