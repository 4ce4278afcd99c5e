package tokenauthority

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Error is a failed call: Code and Reason are for programs, Message is for a person. Get it with [errors.As]. The
// stubs of an [Authority] return it too.
type Error struct {
	// Code is the status of gRPC.
	Code codes.Code
	// Reason is the name of an ErrorReason of the contract, such as ROLE_NOT_GRANTED. Empty: no authority answered.
	Reason string
	// Violations are the invalid fields of the request.
	Violations []Violation
	// RetryAfter is how long to wait before a retry; 0 if the authority did not say.
	RetryAfter time.Duration
	// Message has neither a token nor an API key.
	Message string
	// RequestID names the call in the authority's logs.
	RequestID string
	// Metadata has facts beside the reason, such as the limit that the call is beyond.
	Metadata map[string]string

	cause error
}

// Violation is one invalid field of a request: its path, such as requests[17].role, and what is wrong with it.
type Violation struct{ Field, Problem string }

func (e *Error) Error() string {
	return fmt.Sprintf("tokenauthority: %s: %s", e.Code, e.Message)
}

// Unwrap returns the error of gRPC, or of [Options].
func (e *Error) Unwrap() error { return e.cause }

// GRPCStatus makes [status.Code] and [status.Convert] know the error.
func (e *Error) GRPCStatus() *status.Status {
	if known, ok := e.cause.(interface{ GRPCStatus() *status.Status }); ok {
		return known.GRPCStatus()
	}
	return status.New(e.Code, e.Message)
}

// Is reports that an error is [context.DeadlineExceeded] or [context.Canceled] if its code says so.
func (e *Error) Is(target error) bool {
	return target == context.DeadlineExceeded && e.Code == codes.DeadlineExceeded ||
		target == context.Canceled && e.Code == codes.Canceled
}

// translate returns the *Error that says what an error of gRPC says; nil for nil.
func translate(err error) error {
	if known := (*Error)(nil); err == nil || errors.As(err, &known) {
		return err
	}
	answer := status.Convert(err)
	translated := &Error{Code: answer.Code(), Message: answer.Message(), cause: err}
	for _, detail := range answer.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			translated.Reason, translated.Metadata = detail.GetReason(), detail.GetMetadata()
			translated.RequestID = detail.GetMetadata()["request_id"]
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				translated.Violations = append(translated.Violations, Violation{violation.GetField(), violation.GetDescription()})
			}
		case *errdetails.RetryInfo:
			translated.RetryAfter = max(0, detail.GetRetryDelay().AsDuration())
		}
	}
	return translated
}
