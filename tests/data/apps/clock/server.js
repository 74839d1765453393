// Tells what the greeter says, and when.
const http = require("node:http");
const when = require("when");

http.createServer(async (request, response) => {
  if (request.url === "/health") return response.end("up"); // the greeter may be private yet: it is asked later
  const said = await fetch(process.env.GREETER_URL);
  response.end(when(await said.text()));
}).listen(process.env.PORT);
