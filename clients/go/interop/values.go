// The values of the protocol: errors, and names such as routed for MEDIA_MODE_ROUTED.

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/tokenauthority/tokenauthority/clients/go/tokenauthority"
)

type enum interface {
	~int32
	protoreflect.Enum
}

// value returns the value with a short name; 0 for none.
func value[E enum](name string) (E, error) {
	values := E(0).Descriptor().Values()
	for i := range values.Len() {
		if found := E(values.Get(i).Number()); name == short(found) {
			return found, nil
		}
	}
	return 0, fmt.Errorf("unknown value %q", name)
}

// short returns the name of a value without the prefix of its enum; empty for UNSPECIFIED.
func short(value protoreflect.Enum) string {
	values := value.Descriptor().Values()
	if value.Number() == 0 {
		return ""
	}
	prefix := strings.TrimSuffix(string(values.ByNumber(0).Name()), "UNSPECIFIED")
	return strings.ToLower(strings.TrimPrefix(string(values.ByNumber(value.Number()).Name()), prefix))
}

// codeName returns such as INVALID_ARGUMENT, which gRPC for Go can only read.
func codeName(code codes.Code) string {
	for _, name := range []string{
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
		"UNAUTHENTICATED",
	} {
		var known codes.Code
		if known.UnmarshalJSON([]byte(`"`+name+`"`)) == nil && known == code {
			return name
		}
	}
	return code.String()
}

// decode refuses members that the protocol does not have. Nothing to decode is no error.
func decode(content []byte, into any) error {
	if len(content) == 0 {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

func describe(err error) object {
	failure := (*tokenauthority.Error)(nil)
	if !errors.As(err, &failure) {
		return object{"code": "CLIENT", "reason": "", "violations": []object{}, "retry_after": nil, "message": err.Error()}
	}
	violations := []object{}
	for _, violation := range failure.Violations {
		violations = append(violations, object{"field": violation.Field, "problem": violation.Problem})
	}
	answer := object{"code": codeName(failure.Code), "reason": failure.Reason, "violations": violations, "retry_after": nil, "message": failure.Message}
	if failure.RetryAfter > 0 {
		answer["retry_after"] = failure.RetryAfter.Seconds()
	}
	return answer
}
