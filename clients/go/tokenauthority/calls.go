// The calls of back ends, in the words of the OpenTok SDKs.

package tokenauthority

import (
	"context"
	"errors"
	"iter"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	tokenauthorityv1 "github.com/tokenauthority/tokenauthority/clients/go/tokenauthority/v1"
)

// Short names of the contract's values.
const (
	Relayed       = tokenauthorityv1.MediaMode_MEDIA_MODE_RELAYED
	Routed        = tokenauthorityv1.MediaMode_MEDIA_MODE_ROUTED
	ArchiveManual = tokenauthorityv1.ArchiveMode_ARCHIVE_MODE_MANUAL
	ArchiveAlways = tokenauthorityv1.ArchiveMode_ARCHIVE_MODE_ALWAYS
	Active        = tokenauthorityv1.SessionState_SESSION_STATE_ACTIVE
	Ended         = tokenauthorityv1.SessionState_SESSION_STATE_ENDED
	SessionJWT    = tokenauthorityv1.TokenFormat_TOKEN_FORMAT_SESSION_JWT
	OpenTokT1     = tokenauthorityv1.TokenFormat_TOKEN_FORMAT_OPENTOK_T1
	OpenTokJWT    = tokenauthorityv1.TokenFormat_TOKEN_FORMAT_OPENTOK_JWT
	VonageJWT     = tokenauthorityv1.TokenFormat_TOKEN_FORMAT_VONAGE_JWT
	LiveKitJWT    = tokenauthorityv1.TokenFormat_TOKEN_FORMAT_LIVEKIT_JWT
	JitsiJWT      = tokenauthorityv1.TokenFormat_TOKEN_FORMAT_JITSI_JWT
	Janus         = tokenauthorityv1.TokenFormat_TOKEN_FORMAT_JANUS
)

// Session is a room that people join, with the methods that let them in.
type Session struct {
	*tokenauthorityv1.Session
	authority *Authority
}

// SessionOptions are the options of a session; a field that is not set has the authority's default.
type SessionOptions struct {
	// MediaMode is Relayed (default) or Routed.
	MediaMode tokenauthorityv1.MediaMode
	// ArchiveMode is ArchiveManual (default) or ArchiveAlways, which needs Routed.
	ArchiveMode tokenauthorityv1.ArchiveMode
	// Location is an IPv4 address: a hint where the first person connects from.
	Location string
	// E2EE encrypts media end to end. It needs Routed and ArchiveManual.
	E2EE bool
	// ArchiveName has 1 to 80 characters, and ArchiveResolution is such as 1280x720. Both need ArchiveAlways.
	ArchiveName, ArchiveResolution string
	// Name is the room on real-time servers: 1 to 64 of a-z, 0-9, - and _. Default: the session id.
	Name string
	// RequestID is a UUID that makes the call safe to repeat for 24 hours. Default: a fresh one.
	RequestID string
}

// TokenOptions are the options of a token; a field that is not set has the authority's default.
type TokenOptions struct {
	// Role is publisher (default), subscriber, publisheronly, moderator or one of the project's own.
	Role string
	// Data is connection data of at most 1000 characters. Everyone in the session can read it.
	Data string
	// Lifetime is TTL(time.Hour) or ExpireTime(moment). Default: 24 hours, unless the project or the caller has another.
	Lifetime Lifetime
	// Format is by default the project's.
	Format tokenauthorityv1.TokenFormat
	// Subject is the end user's id, by which tokens can be revoked. At most 255 characters. Not for OpenTok and Vonage.
	Subject string
	// InitialLayoutClassList has the layout classes that the person's streams start with.
	InitialLayoutClassList []string
}

// Lifetime is a TTL or an ExpireTime. A zero of either is no default: the authority refuses it.
type Lifetime interface {
	set(*tokenauthorityv1.TokenRequest)
}

// TTL is how long a token lives: 1 second to 30 days. A fraction of a second is cut off.
type TTL time.Duration

// ExpireTime is when a token expires, within 30 days. A fraction of a second is cut off.
type ExpireTime time.Time

func (t TTL) set(request *tokenauthorityv1.TokenRequest) {
	request.Lifetime = &tokenauthorityv1.TokenRequest_Ttl{Ttl: durationpb.New(time.Duration(t))}
}

func (e ExpireTime) set(request *tokenauthorityv1.TokenRequest) {
	request.Lifetime = &tokenauthorityv1.TokenRequest_ExpireTime{ExpireTime: timestamppb.New(time.Time(e))}
}

// TokenRequest is one token of a batch.
type TokenRequest struct {
	SessionID string
	TokenOptions
}

// Token is a new token. Printed as a whole, it does not show the token.
type Token struct {
	// Token is a secret of the person it is for: never log it.
	Token string
	// TokenID names the token in the audit log and for RevokeTokens.
	TokenID, SessionID, ProjectID, Role, KeyID string
	Format                                     tokenauthorityv1.TokenFormat
	IssueTime, ExpireTime                      time.Time
}

// String returns the id of the token.
func (t Token) String() string { return "token " + t.TokenID }

// GoString returns the id of the token.
func (t Token) GoString() string { return t.String() }

// TurnOptions are the options of TURN credentials; a field that is not set has the authority's default.
type TurnOptions struct {
	// Subject is the end user's id, of at most 255 characters. TURN servers see a pseudonym in its place.
	Subject string
	// TTL is how long the credentials are valid: 1 second to 1 hour. A fraction of a second is cut off. Default: 1 hour,
	// unless the project or the caller has a shorter one.
	TTL *time.Duration
}

// TurnCredentials are credentials for TURN servers. In JSON they are an RTCIceServer. Printed as a whole, they do not show
// the password.
type TurnCredentials struct {
	URLs     []string `json:"urls"`
	Username string   `json:"username"`
	// Credential is the password, a secret of the person it is for: never log it.
	Credential string    `json:"credential"`
	ExpireTime time.Time `json:"expireTime"`
}

// String returns the user name, which names the credentials in the audit log.
func (c TurnCredentials) String() string { return "TURN credentials " + c.Username }

// GoString returns the user name.
func (c TurnCredentials) GoString() string { return c.String() }

// VerifyOptions say what a token must be for. Nothing set: any session, any permission.
type VerifyOptions struct {
	SessionID           string
	RequiredPermissions []tokenauthorityv1.Permission
}

// ListOptions say which sessions to list.
type ListOptions struct {
	// State is Active or Ended. Default: both.
	State tokenauthorityv1.SessionState
	// PageSize is how many sessions one call fetches, at most 1000. Default: 50.
	PageSize int32
}

// Target is what to revoke: [ByToken], [ByTokenID], [BySessionID] or [BySubject]. An empty one is an error.
type Target interface {
	set(*tokenauthorityv1.RevokeTokensRequest) (isSet bool)
}

type (
	// ByToken is this token.
	ByToken string
	// ByTokenID is the token with this id, in the project of the options.
	ByTokenID string
	// BySessionID is all tokens of this session, which stays open.
	BySessionID string
	// BySubject is all tokens of this end user, in the project of the options.
	BySubject string
)

func (t ByToken) set(request *tokenauthorityv1.RevokeTokensRequest) bool {
	request.Target = &tokenauthorityv1.RevokeTokensRequest_Token{Token: string(t)}
	return t != ""
}

func (t ByTokenID) set(request *tokenauthorityv1.RevokeTokensRequest) bool {
	request.Target = &tokenauthorityv1.RevokeTokensRequest_TokenId{TokenId: string(t)}
	return t != ""
}

func (t BySessionID) set(request *tokenauthorityv1.RevokeTokensRequest) bool {
	request.Target = &tokenauthorityv1.RevokeTokensRequest_SessionId{SessionId: string(t)}
	return t != ""
}

func (t BySubject) set(request *tokenauthorityv1.RevokeTokensRequest) bool {
	request.Target = &tokenauthorityv1.RevokeTokensRequest_Subject{Subject: string(t)}
	return t != ""
}

// RevokeOptions are what goes with a revocation.
type RevokeOptions struct {
	// ProjectID is the project of ByTokenID or BySubject. Default: the client's.
	ProjectID string
	// IssuedBefore limits it to tokens that were issued in this second or earlier. Default: now.
	IssuedBefore time.Time
	// Comment is a text for the audit log and for watchers, of at most 256 characters.
	Comment string
}

// CreateSession creates a session in the client's project.
func (a *Authority) CreateSession(ctx context.Context, options SessionOptions) (*Session, error) {
	if options.RequestID == "" {
		options.RequestID = uuid.NewString()
	}
	answer, err := a.Sessions.CreateSession(ctx, &tokenauthorityv1.CreateSessionRequest{
		ProjectId:         a.projectID,
		MediaMode:         options.MediaMode,
		ArchiveMode:       options.ArchiveMode,
		Location:          options.Location,
		E2Ee:              options.E2EE,
		ArchiveName:       options.ArchiveName,
		ArchiveResolution: options.ArchiveResolution,
		Name:              options.Name,
		RequestId:         options.RequestID,
	})
	return a.session(answer.GetSession(), err)
}

// GetSession returns the session with this id.
func (a *Authority) GetSession(ctx context.Context, sessionID string) (*Session, error) {
	answer, err := a.Sessions.GetSession(ctx, &tokenauthorityv1.GetSessionRequest{SessionId: sessionID})
	return a.session(answer.GetSession(), err)
}

// EndSession ends a session for good: it gets no more tokens, and its existing tokens become invalid.
func (a *Authority) EndSession(ctx context.Context, sessionID string) (*Session, error) {
	answer, err := a.Sessions.EndSession(ctx, &tokenauthorityv1.EndSessionRequest{SessionId: sessionID})
	return a.session(answer.GetSession(), err)
}

// ListSessions yields the sessions of the client's project, newest first. It fetches page after page, and ends with an
// error.
func (a *Authority) ListSessions(ctx context.Context, options ListOptions) iter.Seq2[*Session, error] {
	return func(yield func(*Session, error) bool) {
		request := &tokenauthorityv1.ListSessionsRequest{ProjectId: a.projectID, State: options.State, PageSize: options.PageSize}
		for {
			page, err := a.Sessions.ListSessions(ctx, request)
			if err == nil && page.GetNextPageToken() != "" && page.GetNextPageToken() == request.PageToken {
				err = &Error{Code: codes.DataLoss, Message: "the authority sent a list without an end"}
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for _, session := range page.GetSessions() {
				if !yield(&Session{session, a}, nil) {
					return
				}
			}
			if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
				return
			}
		}
	}
}

// GenerateToken generates a token with which one person joins the session.
func (a *Authority) GenerateToken(ctx context.Context, sessionID string, options TokenOptions) (*Token, error) {
	request := TokenRequest{sessionID, options}.message()
	answer, err := a.Tokens.GenerateToken(ctx, &tokenauthorityv1.GenerateTokenRequest{Request: request})
	if err != nil {
		return nil, err
	}
	return newToken(answer.GetToken()), nil
}

// GenerateToken generates a token for this session.
func (s *Session) GenerateToken(ctx context.Context, options TokenOptions) (*Token, error) {
	return s.authority.GenerateToken(ctx, s.GetSessionId(), options)
}

// GenerateTokens generates 1 to 1000 tokens in one call, also of several sessions: all, or none. They come in the order
// of the requests. A violation such as requests[17].ttl names the request.
func (a *Authority) GenerateTokens(ctx context.Context, requests []TokenRequest) ([]*Token, error) {
	batch := &tokenauthorityv1.BatchGenerateTokensRequest{}
	for _, request := range requests {
		batch.Requests = append(batch.Requests, request.message())
	}
	answer, err := a.Tokens.BatchGenerateTokens(ctx, batch)
	if err != nil {
		return nil, err
	}
	var tokens []*Token
	for _, token := range answer.GetTokens() {
		tokens = append(tokens, newToken(token))
	}
	return tokens, nil
}

// CreateTurnCredentials creates a user name and a password with which one person's client uses the authority's TURN
// servers.
func (a *Authority) CreateTurnCredentials(ctx context.Context, sessionID string, options TurnOptions) (*TurnCredentials, error) {
	request := &tokenauthorityv1.CreateTurnCredentialsRequest{SessionId: sessionID, Subject: options.Subject}
	if options.TTL != nil {
		request.Ttl = durationpb.New(*options.TTL)
	}
	answer, err := a.Tokens.CreateTurnCredentials(ctx, request)
	if err != nil {
		return nil, err
	}
	made := answer.GetCredentials()
	return &TurnCredentials{
		URLs:       made.GetUrls(),
		Username:   made.GetUsername(),
		Credential: made.GetCredential(),
		ExpireTime: made.GetExpireTime().AsTime(),
	}, nil
}

// CreateTurnCredentials creates TURN credentials for this session.
func (s *Session) CreateTurnCredentials(ctx context.Context, options TurnOptions) (*TurnCredentials, error) {
	return s.authority.CreateTurnCredentials(ctx, s.GetSessionId(), options)
}

// VerifyToken says whether a token is valid now. An invalid token is an answer with its reason, and no error.
func (a *Authority) VerifyToken(ctx context.Context, token string, options VerifyOptions) (*tokenauthorityv1.VerifyTokenResponse, error) {
	return a.Tokens.VerifyToken(ctx, &tokenauthorityv1.VerifyTokenRequest{
		// Whoever presents a token that UTF-8 cannot encode must get an answer, and must not cause an error.
		Token:               strings.ToValidUTF8(token, "?"),
		SessionId:           options.SessionID,
		RequiredPermissions: options.RequiredPermissions,
	})
}

// RevokeTokens revokes one token, all tokens of a session, or all tokens of an end user. The revocation is durable when
// the call returns. To revoke twice is safe.
func (a *Authority) RevokeTokens(ctx context.Context, target Target, options RevokeOptions) (*tokenauthorityv1.Revocation, error) {
	request := &tokenauthorityv1.RevokeTokensRequest{ProjectId: options.ProjectID, Comment: options.Comment}
	if target == nil || !target.set(request) {
		return nil, errors.New("the target of RevokeTokens must not be empty")
	}
	if !options.IssuedBefore.IsZero() {
		request.IssuedBefore = timestamppb.New(options.IssuedBefore)
	}
	switch target.(type) {
	case ByTokenID, BySubject:
		if request.ProjectId == "" {
			request.ProjectId = a.projectID
		}
	}
	answer, err := a.Tokens.RevokeTokens(ctx, request)
	return answer.GetRevocation(), err
}

// RevokeTokens revokes all tokens of this session, which stays open.
func (s *Session) RevokeTokens(ctx context.Context, options RevokeOptions) (*tokenauthorityv1.Revocation, error) {
	return s.authority.RevokeTokens(ctx, BySessionID(s.GetSessionId()), options)
}

// End ends this session and returns it as it is then; see [Authority.EndSession].
func (s *Session) End(ctx context.Context) (*Session, error) {
	return s.authority.EndSession(ctx, s.GetSessionId())
}

func (a *Authority) session(message *tokenauthorityv1.Session, err error) (*Session, error) {
	if err != nil {
		return nil, err
	}
	return &Session{message, a}, nil
}

func (r TokenRequest) message() *tokenauthorityv1.TokenRequest {
	message := &tokenauthorityv1.TokenRequest{
		SessionId:              r.SessionID,
		Role:                   r.Role,
		Data:                   r.Data,
		Format:                 r.Format,
		Subject:                r.Subject,
		InitialLayoutClassList: r.InitialLayoutClassList,
	}
	if r.Lifetime != nil {
		r.Lifetime.set(message)
	}
	return message
}

func newToken(message *tokenauthorityv1.Token) *Token {
	return &Token{
		Token:      message.GetToken(),
		TokenID:    message.GetTokenId(),
		SessionID:  message.GetSessionId(),
		ProjectID:  message.GetProjectId(),
		Role:       message.GetRole(),
		KeyID:      message.GetKeyId(),
		Format:     message.GetFormat(),
		IssueTime:  message.GetIssueTime().AsTime(),
		ExpireTime: message.GetExpireTime().AsTime(),
	}
}
