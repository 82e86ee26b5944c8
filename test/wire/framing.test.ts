import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { encodeFrame } from "../../dist/lib/wire/encode.js";
import { type Frame, FrameDecoder } from "../../dist/lib/wire/framing.js";
import { FakeFd } from "./fake-channel.js";

const protocolError = (message: RegExp) =>
  expect.objectContaining({ code: "ERR_CUDA_IPC_PROTOCOL", message: expect.stringMatching(message) });
const raw = (text: string | Buffer, length = Buffer.byteLength(text)) => {
  const header = Buffer.alloc(4);
  header.writeUInt32LE(length);
  return Buffer.concat([header, Buffer.from(text)]);
};
const fdsOf = (count: number) => Array.from({ length: count }, () => new FakeFd());

function decode(chunks: { bytes: Buffer; fds?: FakeFd[] }[], limit?: number): Frame<FakeFd>[] {
  const decoder = new FrameDecoder<FakeFd>(limit);
  const frames: Frame<FakeFd>[] = [];
  for (const { bytes, fds = [] } of chunks) decoder.push(bytes, fds, (frame) => frames.push(frame));
  decoder.end();
  return frames;
}

afterEach(() => {
  for (const fd of FakeFd.open) fd.close();
});

describe("frames", () => {
  test("survive every split of bytes and every lawful grouping of descriptors", () => {
    const message = fc.record({
      text: fc.string({ unit: "binary", maxLength: 600 }),
      fds: fc.nat({ max: 4 }),
    });
    const cuts = fc.array(fc.nat(), { maxLength: 12 });
    fc.assert(
      fc.property(
        fc.array(message, { minLength: 1, maxLength: 6 }),
        cuts,
        fc.infiniteStream(fc.nat()),
        (sent, at, late) => {
          const frames = sent.map(({ text, fds }) => encodeFrame({ type: "test", fds, text: text }));
          const stream = Buffer.concat(frames);
          const numbered = fdsOf(sent.reduce((sum, { fds }) => sum + fds, 0));

          // Each descriptor travels beside some byte of its frame, in order: mostly the first, at the latest the last.
          const beside: number[] = [];
          let begin = 0;
          for (const [index, frame] of frames.entries()) {
            const bytes = Array.from({ length: sent[index]!.fds }, () => {
              const pick = late.next().value as number;
              return begin + (pick % 3 > 0 ? 0 : pick % frame.length);
            });
            beside.push(...bytes.sort((a, b) => a - b));
            begin += frame.length;
          }
          const bounds = [...new Set([0, ...at.map((cut) => cut % stream.length), stream.length])].sort(
            (a, b) => a - b,
          );
          const chunks = bounds.slice(1).map((end, index) => ({
            bytes: stream.subarray(bounds[index], end),
            fds: numbered.filter((_, fd) => beside[fd]! >= bounds[index]! && beside[fd]! < end),
          }));

          const received = decode(chunks);
          expect(received.map((frame) => frame.message)).toEqual(
            sent.map(({ text, fds }) => ({ type: "test", fds, text: text })),
          );
          expect(received.flatMap((frame) => frame.fds)).toEqual(numbered);
          expect(received.map((frame) => frame.fds.length)).toEqual(sent.map(({ fds }) => fds));
        },
      ),
      { numRuns: 500 },
    );
  });

  test("arrive byte by byte", () => {
    const frame = encodeFrame({ type: "test", fds: 1, text: "äöü" });
    const chunks = [...frame].map((byte, index) => ({
      bytes: Buffer.from([byte]),
      fds: index === 0 ? fdsOf(1) : [],
    }));
    expect(decode(chunks)).toMatchObject([{ message: { text: "äöü" }, fds: [{}] }]);
  });

  test("random bytes never do anything but decode or be refused", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 8 }), (chunks) => {
        const decoder = new FrameDecoder<FakeFd>();
        for (const bytes of chunks) {
          try {
            decoder.push(Buffer.from(bytes), fdsOf(bytes.length % 2), ({ fds }) => {
              for (const fd of fds) fd.close();
            });
          } catch (error) {
            expect(error).toEqual(protocolError(/./));
          }
        }
        decoder.close();
        expect(FakeFd.open.size).toBe(0);
      }),
    );
  });
});

describe("violations", () => {
  test.each<[string, Buffer, RegExp]>([
    ["zero length", raw(""), /frame of 0 bytes/],
    ["over the limit", raw("", 16 * 1024 * 1024 + 1), /16777217 bytes was announced/],
    ["bad UTF-8", raw(Buffer.from([0x22, 0xc3, 0x28, 0x22])), /not UTF-8/],
    ["a byte order mark", raw('\ufeff{"type":"x","fds":0}'), /not JSON/],
    ["bad JSON", raw('{"type":'), /not JSON/],
    ["an array", raw("[]"), /not a JSON object/],
    ["null", raw("null"), /not a JSON object/],
    ["no type", raw('{"fds":0}'), /no type/],
    ["no fds", raw('{"type":"x"}'), /descriptors: "fds"/],
    ["negative fds", raw('{"type":"x","fds":-1}'), /descriptors: "fds"/],
    ["too many fds", raw('{"type":"x","fds":1025}'), /descriptors: "fds"/],
    ["fds that did not come", raw('{"type":"x","fds":1}'), /only 0 arrived/],
  ])("%s", (_, bytes, message) => {
    expect(() => decode([{ bytes }])).toThrow(protocolError(message));
  });

  test("half a frame at the end", () => {
    expect(() => decode([{ bytes: raw("{}").subarray(0, 5) }])).toThrow(
      protocolError(/within a frame, 5 bytes/),
    );
    expect(() => decode([{ bytes: Buffer.from([1]) }])).toThrow(protocolError(/within a frame/));
  });

  test("surplus descriptors are closed, those of frames before them delivered", () => {
    const good = encodeFrame({ type: "x", fds: 1 });
    const received: Frame<FakeFd>[] = [];
    const decoder = new FrameDecoder<FakeFd>();
    expect(() => decoder.push(good, fdsOf(3), (frame) => received.push(frame))).toThrow(
      protocolError(/2 descriptors arrived that no frame declares/),
    );
    expect(received).toHaveLength(1);
    expect([...FakeFd.open]).toEqual(received[0]!.fds);
    received[0]!.fds[0]!.close();
    decoder.push(good, fdsOf(1), () => expect.unreachable());
    expect(FakeFd.open.size).toBe(0);
  });

  test("descriptors without end beside an unfinished frame", () => {
    const decoder = new FrameDecoder<FakeFd>();
    const part = raw("{}", 100).subarray(0, 5);
    decoder.push(part, fdsOf(1024), () => {});
    expect(() => decoder.push(Buffer.from(" "), fdsOf(1), () => {})).toThrow(
      protocolError(/1025 descriptors/),
    );
    expect(FakeFd.open.size).toBe(0);
  });

  test("a receiver's own limit", () => {
    const bytes = encodeFrame({ type: "x", fds: 0, text: "y".repeat(200) });
    expect(() => decode([{ bytes }], 100)).toThrow(protocolError(/1 to 100 are allowed/));
  });

  test("a decoder closed by its receiver delivers nothing more", () => {
    const decoder = new FrameDecoder<FakeFd>();
    const frame = encodeFrame({ type: "x", fds: 0 });
    let delivered = 0;
    decoder.push(Buffer.concat([frame, frame]), [], () => {
      delivered++;
      decoder.close();
    });
    expect(delivered).toBe(1);
  });

  test("deep JSON is data like any other", () => {
    const deep = `${"[".repeat(500_000)}${"]".repeat(500_000)}`;
    expect(decode([{ bytes: raw(`{"type":"x","fds":0,"a":${deep}}`) }])).toHaveLength(1);
    expect(() => decode([{ bytes: raw(`{"type":"x","fds":0,"a":${"[".repeat(1_000_000)}`) }])).toThrow(
      protocolError(/not JSON/),
    );
  });

  test("no name in a message reaches a prototype", () => {
    const [frame] = decode([
      {
        bytes: raw(
          '{"type":"x","fds":0,"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}',
        ),
      },
    ]);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    expect(Object.getPrototypeOf(frame!.message)).toBe(Object.prototype);
  });
});
