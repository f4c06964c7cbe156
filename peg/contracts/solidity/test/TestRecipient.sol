// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice A recipient of claims that refuses payments, or makes a given call while it is paid; also a relayer that claims
/// several withdrawals in one transaction.
contract TestRecipient {
    bool public refusing;
    address public target;
    bytes public callback;
    bool public callbackSucceeded;
    bytes public callbackResult;

    function refuse(bool refusing_) external {
        refusing = refusing_;
    }

    function onPayment(address target_, bytes calldata callback_) external {
        target = target_;
        callback = callback_;
    }

    function batch(address target_, bytes[] calldata calls) external {
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool ok,) = target_.call(calls[i]);
            require(ok, "a call of the batch failed");
        }
    }

    receive() external payable {
        require(!refusing, "no, thank you");
        if (target != address(0)) {
            (callbackSucceeded, callbackResult) = target.call(callback);
        }
    }
}
