// Reads a JSON list of requests and writes the list of the tokens that the official SDK makes for them.
const OpenTok = require("opentok");

let input = "";
process.stdin.setEncoding("utf8");
process.stdin.on("data", (chunk) => { input += chunk; });
process.stdin.on("end", () => {
  const tokens = JSON.parse(input).map(({ apiKey, apiSecret, sessionId, options, legacy }) =>
    new OpenTok(apiKey, apiSecret).generateToken(sessionId, options, legacy));
  process.stdout.write(JSON.stringify(tokens));
});
