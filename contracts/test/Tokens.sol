// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

// Tokens with the oddities that real ones have. For tests and local networks only: anyone may mint.

/// A plain ERC-20 with any symbol and number of decimals.
contract PlainToken {
    event Transfer(address indexed from, address indexed to, uint256 value);

    string public symbol;
    uint8 public immutable decimals;
    mapping(address => uint256) public balanceOf;

    constructor(string memory symbol_, uint8 decimals_) {
        symbol = symbol_;
        decimals = decimals_;
    }

    function mint(address to, uint256 value) external {
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }

    function transfer(address to, uint256 value) external virtual returns (bool) {
        _move(msg.sender, to, value);
        return true;
    }

    /// Many payments in one transaction, as payers' batch tools do.
    function transferMany(address[] calldata to, uint256[] calldata values) external {
        for (uint256 i = 0; i < to.length; ++i) _move(msg.sender, to[i], values[i]);
    }

    /// A Transfer event behind which no money moved.
    function pretend(address to, uint256 value) external {
        emit Transfer(msg.sender, to, value);
    }

    function _move(address from, address to, uint256 value) internal virtual {
        balanceOf[from] -= value;
        balanceOf[to] += value;
        emit Transfer(from, to, value);
    }
}

/// As USDT on Ethereum: `transfer` returns nothing.
contract NoReturnToken {
    event Transfer(address indexed from, address indexed to, uint256 value);

    string public constant symbol = "USDT";
    uint8 public constant decimals = 6;
    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 value) external {
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }

    function transfer(address to, uint256 value) external {
        balanceOf[msg.sender] -= value;
        balanceOf[to] += value;
        emit Transfer(msg.sender, to, value);
    }
}

/// Keeps one percent of every transfer and still logs the gross amount, as several real ones do.
contract FeeToken is PlainToken {
    constructor() PlainToken("FEE", 18) {}

    function _move(address from, address to, uint256 value) internal override {
        balanceOf[from] -= value;
        balanceOf[to] += value - value / 100;
        emit Transfer(from, to, value);
    }
}

/// Returns false instead of reverting, and moves nothing.
contract FalseToken is PlainToken {
    constructor() PlainToken("FALSE", 18) {}

    function transfer(address, uint256) external pure override returns (bool) {
        return false;
    }
}

/// Says it succeeded, and moves nothing.
contract LyingToken is PlainToken {
    constructor() PlainToken("LIE", 18) {}

    function transfer(address, uint256) external pure override returns (bool) {
        return true;
    }
}

/// Refuses every transfer, with a very long answer.
contract RevertingToken is PlainToken {
    constructor() PlainToken("REVERT", 18) {}

    function transfer(address, uint256) external pure override returns (bool) {
        assembly {
            revert(0, 100000)
        }
    }
}

/// Calls back into whatever it is told to before it moves anything.
contract ReenteringToken is PlainToken {
    address private _target;
    bytes private _call;
    uint256 public attempts;
    uint256 public successes;

    constructor() PlainToken("REENTER", 18) {}

    function reenter(address target, bytes calldata call_) external {
        _target = target;
        _call = call_;
    }

    function transfer(address to, uint256 value) external override returns (bool) {
        if (_target != address(0)) {
            ++attempts;
            (bool done, ) = _target.call(_call);
            if (done) ++successes;
        }
        uint256 rest = balanceOf[msg.sender] < value ? balanceOf[msg.sender] : value;
        _move(msg.sender, to, rest);
        return true;
    }
}
