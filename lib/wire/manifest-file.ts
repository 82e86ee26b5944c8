import type { ManifestTensor } from "./manifest.js";

const magic = "tensors1";
const headerBytes = 32;
const recordBytes = 48;
const dtypeBytes = 12;

/**
 * The tensors of a version as the content of a manifest file (docs/protocol.md): to be looked into by name, without
 * reading all of it into objects first. No two tensors have one name.
 */
export function encodeManifest(tensors: readonly ManifestTensor[]): Buffer {
  const lengths = tensors.map(({ name }) => Buffer.byteLength(name));
  const nameBytes = lengths.reduce((sum, length) => sum + length, 0);
  const dimensions = tensors.reduce((sum, { shape }) => sum + shape.length, 0);
  const order = headerBytes + tensors.length * recordBytes;
  const shapes = roundUpTo8(order + tensors.length * 4);
  const text = shapes + dimensions * 8;
  const content = new ArrayBuffer(text + nameBytes);
  const file = Buffer.from(content);
  // Of the machine's own byte order, which is that of the file wherever CUDA runs.
  const words = new Uint32Array(content, 0, text / 4);
  file.write(magic, "latin1");
  words[2] = tensors.length;
  writeCount(words, 4, dimensions);
  writeCount(words, 6, nameBytes);
  let record = headerBytes / 4;
  let [dimension, nameOffset] = [0, 0];
  tensors.forEach(({ name, dtype, shape, slab, offset, bytes }, index) => {
    writeCount(words, record, offset);
    writeCount(words, record + 2, bytes);
    words[record + 4] = nameOffset;
    words[record + 5] = lengths[index]!;
    words[record + 6] = dimension;
    words[record + 7] = shape.length;
    words[record + 8] = slab;
    file.write(dtype, (record + 9) * 4, dtypeBytes, "latin1");
    record += recordBytes / 4;
    for (const size of shape) writeCount(words, shapes / 4 + 2 * dimension++, size);
    file.write(name, text + nameOffset);
    nameOffset += lengths[index]!;
  });
  words.set(byName(tensors, nameBytes), order / 4);
  return file;
}

/** Indices in the order of the names' bytes. */
function byName(tensors: readonly ManifestTensor[], nameBytes: number): number[] {
  const names = tensors.map(({ name }) => name);
  const indices = names.map((_, index) => index);
  const ascii = names.reduce((sum, name) => sum + name.length, 0) === nameBytes;
  // Beyond that the order of JavaScript is another one.
  if (ascii) return indices.sort((a, b) => (names[a]! < names[b]! ? -1 : 1));
  const bytes = names.map((name) => Buffer.from(name));
  return indices.sort((a, b) => Buffer.compare(bytes[a]!, bytes[b]!));
}

function roundUpTo8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

/** A safe integer, in 64 bits. */
function writeCount(words: Uint32Array, at: number, count: number): void {
  words[at] = count % 2 ** 32;
  words[at + 1] = Math.floor(count / 2 ** 32);
}
