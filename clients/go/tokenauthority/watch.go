// A watch of revocations that resumes: no event is missed, some may come twice.

package tokenauthority

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tokenauthorityv1 "github.com/tokenauthority/tokenauthority/clients/go/tokenauthority/v1"
)

// WatchOptions say what to watch, and from where.
type WatchOptions struct {
	// ProjectIDs are the projects to watch, at most 1000. Default: the client's, else all of the caller.
	ProjectIDs []string
	// ResumeToken is the resume token of an earlier event, to go on after it. Empty: from the start.
	ResumeToken string
	// OnLost is called when the stream breaks off, with the error and the time until the next attempt.
	OnLost func(err error, wait time.Duration)
}

type watchTimes struct {
	// silence is how long a stream may send nothing. Heartbeats come every minute or more often.
	silence time.Duration
	// Pauses double from first to longest, and a random part of each is waited. An authority may ask for more.
	first, longest, longestAsked time.Duration
}

var usualTimes = watchTimes{silence: 90 * time.Second, first: 250 * time.Millisecond, longest: 10 * time.Second, longestAsked: time.Minute}

// WatchRevocations yields what is in force (or what happened after a resume token), a SnapshotEnd, then each revocation
// and each end of a session as it happens, and heartbeats. It opens a stream that broke off again, after the last event
// that the loop has processed. So it misses no event, but may repeat some. It ends when the loop is left, with an error
// when ctx is done, and with an error that another attempt would not cure, such as one of an unknown event.
func (a *Authority) WatchRevocations(ctx context.Context, options WatchOptions) iter.Seq2[*tokenauthorityv1.WatchRevocationsResponse, error] {
	request := &tokenauthorityv1.WatchRevocationsRequest{ProjectIds: options.ProjectIDs, ResumeToken: options.ResumeToken}
	if options.ProjectIDs == nil && a.projectID != "" {
		request.ProjectIds = []string{a.projectID}
	}
	return func(yield func(*tokenauthorityv1.WatchRevocationsResponse, error) bool) {
		for attempts := 0; ; {
			caughtUp := false
			err := a.readStream(ctx, request, func(event *tokenauthorityv1.WatchRevocationsResponse) bool {
				if !yield(event, nil) {
					return false
				}
				request.ResumeToken = event.GetResumeToken()
				caughtUp = caughtUp || event.GetSnapshotEnd() != nil
				// Not earlier: an authority that breaks off after what is in force must not be asked for it without a pause.
				if caughtUp && event.GetHeartbeat() != nil {
					attempts = 0
				}
				return true
			})
			if err == nil {
				return
			}
			if ctx.Err() != nil || !isTemporary(err) {
				yield(nil, err)
				return
			}
			wait := a.watches.pause(attempts, err)
			attempts++
			if options.OnLost != nil {
				options.OnLost(err, wait)
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				yield(nil, translate(status.FromContextError(ctx.Err()).Err()))
				return
			}
		}
	}
}

// readStream gives each event of one stream to take, until take returns false. Only then does it return nil.
func (a *Authority) readStream(ctx context.Context, request *tokenauthorityv1.WatchRevocationsRequest,
	take func(*tokenauthorityv1.WatchRevocationsResponse) bool,
) error {
	silent := &Error{Code: codes.Unavailable, Message: fmt.Sprintf("no message for %s", a.watches.silence)}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(a.watches.silence, func() { cancel(silent) })
	defer silence.Stop()
	stream, err := a.Tokens.WatchRevocations(ctx, request)
	if err != nil {
		return err
	}
	for {
		event, err := stream.Recv()
		switch {
		case context.Cause(ctx) == silent:
			return silent
		case errors.Is(err, io.EOF):
			return &Error{Code: codes.Unavailable, Message: "the stream was closed"}
		case err != nil:
			return err
		case !isKnown(event):
			return &Error{Code: codes.Unimplemented, Message: "the authority sent an event that this version of the client does not know: update it"}
		}
		// The time in which the loop processes an event is none of silence.
		silence.Stop()
		if !take(event) {
			return nil
		}
		silence.Reset(a.watches.silence)
	}
}

func isKnown(event *tokenauthorityv1.WatchRevocationsResponse) bool {
	if revocation := event.GetRevocation(); revocation != nil {
		return revocation.GetTarget() != nil
	}
	return event.GetEvent() != nil
}

func isTemporary(err error) bool {
	var failure *Error
	if !errors.As(err, &failure) {
		return false
	}
	switch failure.Code {
	case codes.Unavailable, codes.Canceled, codes.ResourceExhausted:
		return true
	case codes.Internal, codes.Unknown:
		// Without a reason it comes from a proxy or the network.
		return failure.Reason == ""
	}
	return false
}

func (t watchTimes) pause(attempts int, err error) time.Duration {
	longest := min(t.longest, t.first<<min(attempts, 16))
	asked := time.Duration(0)
	if failure := (*Error)(nil); errors.As(err, &failure) {
		asked = min(failure.RetryAfter, t.longestAsked)
	}
	// On top of what the authority asks for: it asks all watchers for the same.
	return asked + rand.N(longest+1)
}
