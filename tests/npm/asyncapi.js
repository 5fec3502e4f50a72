// Reads an AsyncAPI document (a JSON value, as text) and prints what the official parser has to say of it.
const { Parser } = require("@asyncapi/parser");

let text = "";
process.stdin.on("data", (piece) => (text += piece));
process.stdin.on("end", async () => {
  const { document, diagnostics } = await new Parser().parse(text);
  const channels = document ? document.channels().all().map((each) => each.id()) : [];
  const messages = document ? document.messages().all().map((each) => each.id()) : [];
  const said = diagnostics.map(({ severity, code, message, path }) => ({ severity, code, message, path }));
  process.stdout.write(JSON.stringify({ read: Boolean(document), channels, messages, said }));
});
