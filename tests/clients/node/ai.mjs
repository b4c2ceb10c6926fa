// SPDX-License-Identifier: Apache-2.0
// Vercel's AI SDK against a gateway: one line of JSON for each request, in the order that the test arranged.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, streamText, tool } from "ai";

const provider = createOpenAICompatible({ name: "gateway", baseURL: process.argv[2], apiKey: "sk-test" });
const schema = { type: "object", properties: { q: { type: "string" }, n: { type: "integer" } } };
const lookUp = tool({ description: "looks it up", inputSchema: jsonSchema(schema) });

function request(prompt, withTool) {
  const asked = { model: provider("m"), prompt, maxRetries: 0 };
  return withTool ? { ...asked, tools: { look_up: lookUp } } : asked;
}

async function plain(prompt, withTool) {
  const { text, finishReason, toolCalls } = await generateText(request(prompt, withTool));
  return { text, finishReason, toolCalls };
}

async function streamed(prompt, withTool) {
  const onError = ({ error }) => {
    throw error;
  };
  const result = streamText({ ...request(prompt, withTool), onError });
  let text = "";
  for await (const delta of result.textStream) {
    text += delta;
  }
  return { text, finishReason: await result.finishReason, toolCalls: await result.toolCalls };
}

function tell(name, { text, finishReason, toolCalls }) {
  console.log(JSON.stringify({ name, text, end: finishReason, toolInput: toolCalls[0]?.input ?? {} }));
}

for (const [form, ask] of [["plain", plain], ["streamed", streamed]]) {
  tell(`${form} answer`, await ask("你好", false));
  tell(`${form} tool`, await ask("你好", true));
  tell(`${form} stopped`, await ask("你好", false));
  tell(`${form} refused`, await ask("please say 禁词 now", false));
}
