/** A checked message as the bytes of its frame: made once, to be sent many times. It carries no descriptors. */
export interface EncodedMessage {
  readonly frame: Buffer;
}

const headerBytes = 4;

/** One frame: the length, and the message as JSON. */
export function encodeFrame(message: object): Buffer {
  const text = JSON.stringify(message);
  const length = Buffer.byteLength(text);
  const frame = Buffer.allocUnsafe(headerBytes + length);
  frame.writeUInt32LE(length, 0);
  frame.write(text, headerBytes);
  return frame;
}
