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
  const names = tensors.map(({ name }) => Buffer.from(name));
  const nameBytes = names.reduce((sum, name) => sum + name.length, 0);
  const dimensions = tensors.reduce((sum, { shape }) => sum + shape.length, 0);
  const order = headerBytes + tensors.length * recordBytes;
  const shapes = roundUpTo8(order + tensors.length * 4);
  const text = shapes + dimensions * 8;
  const file = Buffer.alloc(text + nameBytes);
  file.write(magic, "latin1");
  file.writeUInt32LE(tensors.length, 8);
  writeCount(file, dimensions, 16);
  writeCount(file, nameBytes, 24);
  let [dimension, nameOffset] = [0, 0];
  tensors.forEach(({ dtype, shape, slab, offset, bytes }, index) => {
    const name = names[index]!;
    const record = headerBytes + index * recordBytes;
    writeCount(file, offset, record);
    writeCount(file, bytes, record + 8);
    file.writeUInt32LE(nameOffset, record + 16);
    file.writeUInt32LE(name.length, record + 20);
    file.writeUInt32LE(dimension, record + 24);
    file.writeUInt32LE(shape.length, record + 28);
    file.writeUInt32LE(slab, record + 32);
    file.write(dtype, record + 36, dtypeBytes, "latin1");
    for (const size of shape) writeCount(file, size, shapes + dimension++ * 8);
    name.copy(file, text + nameOffset);
    nameOffset += name.length;
  });
  const byName = tensors.map((_, index) => index).sort((a, b) => Buffer.compare(names[a]!, names[b]!));
  byName.forEach((index, position) => {
    file.writeUInt32LE(index, order + position * 4);
  });
  return file;
}

function roundUpTo8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

/** A safe integer, in 64 bits. */
function writeCount(file: Buffer, count: number, at: number): void {
  file.writeUInt32LE(count % 2 ** 32, at);
  file.writeUInt32LE(Math.floor(count / 2 ** 32), at + 4);
}
