import { readFileSync } from "node:fs";
import path from "node:path";
import type { ClientMessages, OwnerMessages } from "../../dist/lib/wire/messages.js";

type Messages = ClientMessages & OwnerMessages;

/** The examples of docs/protocol.md, so that the document and the schemas cannot disagree. */
export const examples: Record<string, { type: string }> = {};

const document = readFileSync(path.join(__dirname, "../../docs/protocol.md"), "utf8");
for (const [, json] of document.matchAll(/```json\n(.*?)```/gs)) {
  const message = JSON.parse(json!) as { type: string };
  examples[message.type] ??= message;
}

export function example<K extends keyof Messages>(type: K): Messages[K] {
  return structuredClone(examples[type]) as unknown as Messages[K];
}
