<?php
// Make a session and a token. It needs the curl extension of PHP and nothing else.
declare(strict_types=1);

final class AuthorityError extends RuntimeException
{
    /** @param array<string, mixed> $error as the Connect protocol has it: code, message, details */
    public function __construct(public readonly int $status, public readonly array $error)
    {
        parent::__construct(($error['code'] ?? 'unknown') . ': ' . ($error['message'] ?? ''));
    }

    /** The word by which a program decides, such as SESSION_NOT_FOUND. */
    public function reason(): string
    {
        foreach ($this->error['details'] ?? [] as $detail) {
            if ($detail['type'] === 'google.rpc.ErrorInfo') {
                return $detail['debug']['reason'] ?? '';
            }
        }
        return '';
    }
}

/** Call a method such as TokenService/GenerateToken. */
function call(string $method, array $request): array
{
    $curl = curl_init(getenv('AUTHORITY_URL') . "/tokenauthority.v1.$method");
    curl_setopt_array($curl, [
        // (object): an empty array of PHP would become the list [].
        CURLOPT_POSTFIELDS => json_encode((object) $request, JSON_THROW_ON_ERROR),
        CURLOPT_HTTPHEADER => [
            'Content-Type: application/json',
            'Authorization: Bearer ' . getenv('TOKENAUTHORITY_API_KEY'),
            'Connect-Timeout-Ms: 5000',
        ],
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT_MS => 5500,
        // The file of a CA of your own: CURLOPT_CAINFO => '/etc/tokenauthority/ca.pem',
    ]);
    $body = curl_exec($curl);
    if ($body === false) {
        throw new AuthorityError(0, ['code' => 'unavailable', 'message' => curl_error($curl)]);
    }
    $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
    $answer = json_decode($body, true) ?? [];
    if ($status !== 200) {
        throw new AuthorityError($status, $answer);
    }
    return $answer;
}

function uuid(): string
{
    $bytes = random_bytes(16);
    $bytes[6] = chr(ord($bytes[6]) & 0x0f | 0x40);
    $bytes[8] = chr(ord($bytes[8]) & 0x3f | 0x80);
    return vsprintf('%s%s-%s-%s-%s-%s%s%s', str_split(bin2hex($bytes), 4));
}

$session = call('SessionService/CreateSession', [
    'projectId' => getenv('TOKENAUTHORITY_PROJECT_ID'),
    'mediaMode' => 'MEDIA_MODE_ROUTED',
    // The same for each attempt: a second one then returns the session of the first.
    'requestId' => uuid(),
])['session'];
$token = call('TokenService/GenerateToken', [
    'request' => ['sessionId' => $session['sessionId'], 'role' => 'publisher', 'data' => 'username=bob', 'ttl' => '3600s'],
])['token'];
echo $token['token'], "\n";

try {
    call('TokenService/GenerateToken', ['request' => ['sessionId' => $session['sessionId'], 'rolle' => 'publisher']]);
} catch (AuthorityError $error) {
    echo $error->status, ' ', $error->reason(), ' ', $error->getMessage(), "\n";
}
