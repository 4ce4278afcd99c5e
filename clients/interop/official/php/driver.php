<?php

// Does with the official PHP SDK what each line of standard input asks for; README.md has the protocol.
// The environment variable OPENTOK_PHP_AUTOLOAD names a PHP file that loads the SDK, such as Composer's autoload.php.

declare(strict_types=1);

// The SDK has deprecations, which PHP would write to standard output.
error_reporting(E_ALL & ~E_DEPRECATED);
ini_set('display_errors', 'stderr');
require getenv('OPENTOK_PHP_AUTOLOAD');

use OpenTok\MediaMode;
use OpenTok\OpenTok;

$client = new OpenTok(
    getenv('OPENTOK_API_KEY'),
    getenv('OPENTOK_API_SECRET'),
    ['apiUrl' => getenv('OPENTOK_API_URL')],
);
$names = [
    'media_mode' => 'mediaMode',
    'archive_mode' => 'archiveMode',
    'archive_name' => 'archiveName',
    'archive_resolution' => 'archiveResolution',
    'expire_time' => 'expireTime',
    'initial_layout_class_list' => 'initialLayoutClassList',
];
$calls = [
    'signal' => fn ($id) => $client->signal($id, ['type' => 'chat', 'data' => 'hi']),
    'disconnect' => fn ($id) => $client->forceDisconnect($id, '063e72a4-64b4-43c8-9da5-eca071daab89'),
    'mute' => fn ($id) => $client->forceMuteStream($id, 'stream'),
    'mute_all' => fn ($id) => $client->forceMuteAll($id, ['excludedStreams' => []]),
    'archive' => fn ($id) => $client->startArchive($id),
];

$inCamelCase = function (array $options) use ($names): array {
    $given = [];
    foreach ($options as $name => $value) {
        $given[$names[$name] ?? $name] = $value;
    }
    if (isset($given['mediaMode'])) {
        $given['mediaMode'] = $given['mediaMode'] === 'routed' ? MediaMode::ROUTED : MediaMode::RELAYED;
    }
    return $given;
};

while (($line = fgets(STDIN)) !== false) {
    $request = json_decode($line, true, 512, JSON_THROW_ON_ERROR);
    $id = $request['session_id'] ?? '';
    try {
        $done = match ($request['op']) {
            'create' => ['session_id' => $client->createSession($inCamelCase($request['options']))->getSessionId()],
            'token' => ['token' => $client->generateToken($id, $inCamelCase($request['options']), $request['legacy'])],
            // The calls that mute return false if they failed.
            'call' => $calls[$request['what']]($id) === false ? throw new Exception('the SDK returned false') : [],
        };
        $answer = ['ok' => (object) $done];
    } catch (Throwable $error) {
        $answer = ['error' => ['code' => get_class($error), 'message' => $error->getMessage()]];
    }
    echo json_encode($answer, JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE), "\n";
}
