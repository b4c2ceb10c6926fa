// SPDX-License-Identifier: Apache-2.0
// OpenAI's SDK for Node against a gateway: one line of JSON for each request, in the order that the test arranged.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "sk-test", maxRetries: 0, timeout: 20_000 });
const schema = { type: "object", properties: { q: { type: "string" }, n: { type: "integer" } } };
const tools = [{ type: "function", function: { name: "look_up", description: "looks it up", parameters: schema } }];

function request(prompt, withTool) {
  const messages = [{ role: "user", content: prompt }];
  return withTool ? { model: "m", messages, tools } : { model: "m", messages };
}

async function plain(prompt, withTool) {
  return (await client.chat.completions.create(request(prompt, withTool))).choices[0];
}

async function streamed(prompt, withTool) {
  const stream = client.chat.completions.stream(request(prompt, withTool));
  return (await stream.finalChatCompletion()).choices[0];
}

function tell(name, choice) {
  const call = choice.message.tool_calls?.[0];
  const toolInput = call ? JSON.parse(call.function.arguments) : {};
  const said = { name, text: choice.message.content ?? "", end: choice.finish_reason, toolInput };
  console.log(JSON.stringify(said));
}

for (const [form, ask] of [["plain", plain], ["streamed", streamed]]) {
  tell(`${form} answer`, await ask("你好", false));
  tell(`${form} tool`, await ask("你好", true));
  tell(`${form} stopped`, await ask("你好", false));
  tell(`${form} refused`, await ask("please say 禁词 now", false));
}
