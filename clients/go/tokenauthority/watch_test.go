package tokenauthority

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tokenauthorityv1 "github.com/tokenauthority/tokenauthority/clients/go/tokenauthority/v1"
)

type (
	watchRequest = tokenauthorityv1.WatchRevocationsRequest
	watchEvent   = tokenauthorityv1.WatchRevocationsResponse
	watchStream  = grpc.ServerStreamingServer[tokenauthorityv1.WatchRevocationsResponse]
)

func heartbeat(resumeToken string) *watchEvent {
	return &watchEvent{ResumeToken: resumeToken, Event: &tokenauthorityv1.WatchRevocationsResponse_Heartbeat{Heartbeat: &tokenauthorityv1.Heartbeat{}}}
}

// watcher returns a client that does not wait long.
func watcher(t *testing.T, watch func(*watchRequest, watchStream) error) *Authority {
	authority := clientOf(t, &scripted{watch: watch}, Options{APIKey: key, ProjectID: "7", Timeout: time.Nanosecond})
	authority.watches = watchTimes{silence: 30 * time.Second, first: 1, longest: 1, longestAsked: time.Minute}
	return authority
}

func TestAWatchResumesAfterItsLastEvent(t *testing.T) {
	lost := []error{nil, status.Error(codes.Unavailable, ""), status.Error(codes.Canceled, ""), status.Error(codes.ResourceExhausted, ""), status.Error(codes.Internal, "")}
	var asked []string
	authority := watcher(t, func(request *watchRequest, stream watchStream) error {
		if !slices.Equal(request.GetProjectIds(), []string{"7"}) {
			t.Error(request.GetProjectIds())
		}
		asked = append(asked, request.GetResumeToken())
		if err := stream.Send(heartbeat(request.GetResumeToken() + "x")); err != nil {
			return err
		}
		return lost[(len(asked)-1)%len(lost)]
	})
	told := 0
	options := WatchOptions{OnLost: func(error, time.Duration) { told++ }}
	for event, err := range authority.WatchRevocations(context.Background(), options) {
		if err != nil {
			t.Fatal(err)
		}
		if event.GetResumeToken() == "xxxxxx" {
			break
		}
	}
	if !slices.Equal(asked, []string{"", "x", "xx", "xxx", "xxxx", "xxxxx"}) || told != 5 {
		t.Error(asked, told)
	}
}

func TestASilentStreamIsOpenedAgain(t *testing.T) {
	var opened atomic.Int32
	authority := watcher(t, func(_ *watchRequest, stream watchStream) error {
		if opened.Add(1) == 1 {
			<-stream.Context().Done()
			return nil
		}
		return stream.Send(heartbeat("x"))
	})
	authority.watches.silence = 50 * time.Millisecond
	for _, err := range authority.WatchRevocations(context.Background(), WatchOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if opened.Load() != 2 {
		t.Error(opened.Load())
	}
}

func TestAWatchEndsWithAnErrorThatNothingCures(t *testing.T) {
	revocation := &tokenauthorityv1.WatchRevocationsResponse_Revocation{Revocation: &tokenauthorityv1.Revocation{}}
	for name, each := range map[string]struct {
		event *watchEvent
		err   error
		want  codes.Code
	}{
		"an unknown event":  {&watchEvent{ResumeToken: "x"}, nil, codes.Unimplemented},
		"an unknown target": {&watchEvent{Event: revocation}, nil, codes.Unimplemented},
		"no grant":          {nil, status.Error(codes.PermissionDenied, ""), codes.PermissionDenied},
		"no resume token":   {nil, status.Error(codes.InvalidArgument, ""), codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			authority := watcher(t, func(_ *watchRequest, stream watchStream) error {
				if each.event != nil {
					return stream.Send(each.event)
				}
				return each.err
			})
			for event, err := range authority.WatchRevocations(context.Background(), WatchOptions{}) {
				if status.Code(err) != each.want {
					t.Error(event, err)
				}
			}
		})
	}
}

func TestAWatchEndsWithItsContext(t *testing.T) {
	authority := watcher(t, func(_ *watchRequest, stream watchStream) error {
		if err := stream.Send(heartbeat("x")); err != nil {
			return err
		}
		<-stream.Context().Done()
		return nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var last error
	for _, err := range authority.WatchRevocations(ctx, WatchOptions{}) {
		last = err
		cancel()
	}
	if status.Code(last) != codes.Canceled {
		t.Error(last)
	}
}
