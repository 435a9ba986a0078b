// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

// Ways in which the network's own coin arrives without a plain transaction. For tests and local networks only.

/// Pays by internal calls, as exchanges' batch contracts and smart wallets do.
contract InternalPayer {
    receive() external payable {}

    /// With all the gas there is.
    function pay(address payable[] calldata to, uint256[] calldata values) external payable {
        for (uint256 i = 0; i < to.length; ++i) {
            (bool sent, ) = to[i].call{value: values[i]}("");
            require(sent, "a payment failed");
        }
    }

    /// With the 2,300 gas of `transfer`, as old wallets do.
    function payWithStipend(address payable to) external payable {
        to.transfer(msg.value);
    }

    /// Pays, and then undoes all of it.
    function payAndRevert(address payable to) external payable {
        to.transfer(msg.value);
        revert("changed its mind");
    }

    /// By selfdestruct: no call reaches the payee at all.
    function payByEnding(address payable to) external payable {
        new Ending{value: msg.value}(to);
    }

    /// A deposit and a flush in one transaction.
    function payThenCall(address payable to, address target, bytes calldata call_) external payable {
        (bool sent, ) = to.call{value: msg.value}("");
        require(sent, "the payment failed");
        (bool done, ) = target.call(call_);
        require(done, "the call failed");
    }
}

contract Ending {
    constructor(address payable to) payable {
        selfdestruct(to);
    }
}

/// Emits what a deposit address emits when it is flushed, without being one.
contract FlushPretender {
    event Flushed(address indexed token, uint256 units);

    function pretend(address token, uint256 units) external {
        emit Flushed(token, units);
    }
}
