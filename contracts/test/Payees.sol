// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {PlainToken} from "./Tokens.sol";

// Destinations that make trouble when they are paid, in coin or in a token that calls them. For tests only.

/// Does what it is told to when coin or a token's word of it arrives.
contract Payee {
    /// It was paid, and whether what it then called went well.
    event Called(bool done);

    enum Habit { Accept, Refuse, Burn, BurnAndRefuse, LongAnswer, LongRefusal, Store, Reenter, GiveBack, Choosy }

    Habit private _habit;
    address private _target;
    bytes private _call;
    mapping(uint256 => uint256) private _stored;

    function become(Habit habit, address target, bytes calldata call_) external {
        _habit = habit;
        _target = target;
        _call = call_;
    }

    receive() external payable {
        _act();
    }

    /// As ERC-777's: a token tells its receiver.
    function tokensReceived(address from, uint256 units) external {
        if (_habit == Habit.GiveBack) HookToken(msg.sender).transferQuietly(from, units / 2);
        else _act();
    }

    function _act() private {
        Habit habit = _habit;
        if (habit == Habit.Refuse) revert("no, thanks");
        if (habit == Habit.Choosy && gasleft() < 28_000) revert("more gas, please");
        if (habit == Habit.Burn) while (gasleft() > 500) {}
        if (habit == Habit.BurnAndRefuse) while (true) {}
        if (habit == Habit.LongAnswer) assembly { return(0, 50000) }
        if (habit == Habit.LongRefusal) assembly { revert(0, 50000) }
        if (habit == Habit.Store) _stored[block.number] = 1;
        if (habit == Habit.Reenter) {
            (bool done, ) = _target.call(_call);
            emit Called(done);
        }
    }
}

/// Tells the receiver, as ERC-777 does, and fails when he does.
contract HookToken is PlainToken {
    constructor() PlainToken("HOOK", 18) {}

    function transferQuietly(address to, uint256 value) external {
        super._move(msg.sender, to, value);
    }

    function _move(address from, address to, uint256 value) internal override {
        super._move(from, to, value);
        if (to.code.length != 0) Payee(payable(to)).tokensReceived(from, value);
    }
}

/// Takes its one percent from the payer, beside what he pays.
contract ExtraFeeToken is PlainToken {
    constructor() PlainToken("EXTRA", 18) {}

    function _move(address from, address to, uint256 value) internal override {
        super._move(from, to, value);
        balanceOf[from] -= value / 100;
    }
}

/// Moves half of what it is asked for and calls it a success.
contract HalfToken is PlainToken {
    constructor() PlainToken("HALF", 18) {}

    function _move(address from, address to, uint256 value) internal override {
        super._move(from, to, value / 2);
    }
}

/// Moves exactly what it is asked for, returns `false`, and says so at length.
contract ModestToken is PlainToken {
    constructor() PlainToken("MODEST", 18) {}

    function transfer(address to, uint256 value) external override returns (bool) {
        _move(msg.sender, to, value);
        assembly {
            return(0x60, 50000)
        }
    }
}
