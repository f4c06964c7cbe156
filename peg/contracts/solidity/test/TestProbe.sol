// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice For client tests: storage, events, and each way a call can fail.
contract TestProbe {
    uint256 public value;
    uint256 private depth;

    event ValueSet(address indexed by, uint256 indexed old, uint256 value);

    error Refused(address caller, uint256 value);

    function set(uint256 newValue) external payable {
        emit ValueSet(msg.sender, value, newValue);
        value = newValue;
    }

    function failWithReason() external pure {
        revert("the probe says no");
    }

    function failWithError(uint256 why) external view {
        revert Refused(msg.sender, why);
    }

    function failWithPanic(uint256 divisor) external pure returns (uint256) {
        return 1 / divisor;
    }

    function burnGas() external {
        while (true) depth++;
    }
}
