// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice A hostile recipient of claims: refuses payments, or calls back what it was told while being paid.
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

    receive() external payable {
        require(!refusing, "no, thank you");
        if (target != address(0)) {
            (callbackSucceeded, callbackResult) = target.call(callback);
        }
    }
}
