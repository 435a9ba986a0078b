// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Forwarder} from "./Forwarder.sol";

/// Deposit addresses of one vault: where each stands, and moving what arrived to the vault. Anyone may call it.
///
/// What an auditor may check in one reading:
///  - No owner, no storage that outlives a transaction, no upgrade, no selfdestruct, no delegatecall. It holds nothing.
///  - Deposit address `index` is CREATE2(this, index, fixed code): it can be computed, shown and paid before it exists,
///    and only this contract can put code there, always the same code.
///  - `flush` takes no destination. A caller chooses what is moved and pays the gas; where it goes is in the code.
///  - One bad token or address stops nothing else of the same call: its failure is an event.
///  - A token can burn the gas that it is given (63/64 of the rest, EIP-150). The caller names the tokens and pays, and a
///    simulation shows it, so there is no fixed cap here that a later repricing of gas would turn into a lock.
contract ForwarderFactory {
    /// This token could not be moved from this deposit address; nothing of it was.
    event FlushFailed(address indexed forwarder, address indexed token);

    error Reentered();
    error NotDeployed();

    address public immutable VAULT;
    address public immutable IMPLEMENTATION;

    /// Without it a token that calls back could flush itself inside its own transfer, and the same units would be
    /// reported as gone twice: the reader of deposits would credit money that never came.
    bool private transient _flushing;

    constructor(address vault) {
        VAULT = vault;
        IMPLEMENTATION = address(new Forwarder(vault));
    }

    /// Moves what lies at these deposit addresses to the vault: for each index each token, zero being the coin.
    /// What is empty is skipped; an address that is not deployed yet is deployed when there is something to move.
    function flush(uint256[] calldata indexes, address[] calldata tokens) external {
        if (_flushing) revert Reentered();
        _flushing = true;
        bytes memory code = _initCode();
        bytes32 codeHash = keccak256(code);
        for (uint256 i = 0; i < indexes.length; ++i) {
            address forwarder = _addressOf(indexes[i], codeHash);
            bool deployed = forwarder.code.length != 0;
            for (uint256 j = 0; j < tokens.length; ++j) {
                (bool known, uint256 units) = _balance(tokens[j], forwarder);
                if (known && units == 0) continue;
                if (known && !deployed) {
                    _deploy(indexes[i], code);
                    deployed = true;
                }
                if (!known || !_forward(forwarder, tokens[j])) emit FlushFailed(forwarder, tokens[j]);
            }
        }
        _flushing = false;
    }

    /// Deposit address `index`, whether it is deployed or not.
    function addressOf(uint256 index) external view returns (address) {
        return _addressOf(index, keccak256(_initCode()));
    }

    function _addressOf(uint256 index, bytes32 codeHash) private view returns (address) {
        return address(uint160(uint256(keccak256(abi.encodePacked(hex"ff", address(this), index, codeHash)))));
    }

    /// A proxy of 54 bytes. It first asks "no value and some call data?"; if not it stops, so that coin arrives within
    /// the 2,300 gas of `transfer`, with call data too (an EIP-1167 proxy needs more than that before it does anything).
    /// Then comes EIP-1167, its jump target moved by nine. The code is never selfdestructed: EIP-1167 holds no such
    /// instruction, nor does Forwarder.
    ///
    ///   3d603680600a3d3981f3          return the 54 bytes that follow
    ///   34 15 36 02 6008 57 00 5b     iszero(callvalue) * calldatasize ? go on : stop
    ///   363d3d373d3d3d363d73 <implementation> 5af43d82803e903d91603457fd5bf3
    function _initCode() private view returns (bytes memory) {
        return abi.encodePacked(
            hex"3d603680600a3d3981f3", hex"34153602600857005b",
            hex"363d3d373d3d3d363d73", IMPLEMENTATION, hex"5af43d82803e903d91603457fd5bf3"
        );
    }

    function _deploy(uint256 index, bytes memory code) private {
        address made;
        assembly ("memory-safe") {
            made := create2(0, add(code, 32), mload(code), index)
        }
        if (made == address(0)) revert NotDeployed(); // out of gas: nothing else can be in the way
    }

    /// Nothing of the answer is copied, so a token cannot burn gas with a long one.
    function _forward(address forwarder, address token) private returns (bool done) {
        bytes memory call_ = abi.encodeCall(Forwarder.forward, (token));
        assembly ("memory-safe") {
            done := call(gas(), forwarder, 0, add(call_, 32), mload(call_), 0, 0)
        }
    }

    /// What `holder` has of `token`; `known` is false where the token does not say (it reverts, or is no contract).
    function _balance(address token, address holder) private view returns (bool known, uint256 units) {
        if (token == address(0)) return (true, holder.balance);
        bytes memory call_ = abi.encodeWithSignature("balanceOf(address)", holder);
        assembly ("memory-safe") {
            known := staticcall(gas(), token, add(call_, 32), mload(call_), 0, 32)
            known := and(known, gt(returndatasize(), 31))
            units := mload(0)
        }
    }
}
