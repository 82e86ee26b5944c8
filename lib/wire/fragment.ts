/** A JSON value that has been checked and serialised once, to be put into many messages. */
export class Fragment<T> {
  readonly bytes: Buffer;

  constructor(readonly value: T) {
    this.bytes = Buffer.from(JSON.stringify(value));
  }
}

/** For each message in which fragments may stand, the fields that are fragments then. */
export const fragmentFields: ReadonlyMap<string, readonly string[]> = new Map([
  ["attached", ["version", "slabs"]],
]);

/** A message of type T in which some fields may be serialised already. */
export type Fragmented<T> = { [K in keyof T]: T[K] | Fragment<T[K]> };

const headerBytes = 4;

/** One frame: the length, and the message as JSON. Fragments stand last and are copied, not serialised again. */
export function encodeFrame(message: object): Buffer {
  const plain: Record<string, unknown> = {};
  const fragments: [key: string, bytes: Buffer][] = [];
  for (const [key, value] of Object.entries(message)) {
    if (value instanceof Fragment) fragments.push([key, value.bytes]);
    else plain[key] = value;
  }
  const text = JSON.stringify(plain);
  const parts: (string | Buffer)[] = [fragments.length === 0 ? text : text.slice(0, -1)];
  for (const [key, bytes] of fragments) parts.push(`${plainSeparator(parts)}${JSON.stringify(key)}:`, bytes);
  if (fragments.length > 0) parts.push("}");

  let length = 0;
  for (const part of parts) length += Buffer.byteLength(part);
  const frame = Buffer.allocUnsafe(headerBytes + length);
  frame.writeUInt32LE(length, 0);
  let end = headerBytes;
  for (const part of parts) end += typeof part === "string" ? frame.write(part, end) : part.copy(frame, end);
  return frame;
}

function plainSeparator(parts: readonly (string | Buffer)[]): string {
  return parts.length === 1 && parts[0] === "{" ? "" : ",";
}
