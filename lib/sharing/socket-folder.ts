import { promises as fs, type Stats } from "node:fs";
import path from "node:path";
import { CudaIpcError } from "../errors.js";
import { makeFolder } from "./make-folder.js";

/**
 * Makes the socket's folder where it is missing (0700, or as wide as the socket itself must be reached), and refuses
 * one in which somebody else could replace the socket. A symbolic link to a folder is as good as what it leads to, unless
 * somebody else could replace the link.
 */
export async function prepareSocketFolder(socket: string, mode: number): Promise<void> {
  const folder = path.dirname(socket);
  // Whoever may use the socket must be able to pass through its folder: every read bit also grants search.
  const folderMode =
    0o700 | ((mode & 0o066) === 0 ? 0 : (mode & 0o060 ? 0o050 : 0) | (mode & 0o006 ? 0o005 : 0));
  await makeFolder(folder, folderMode);
  let place = folder;
  let facts = await fs.lstat(place);
  // A link may lead to a link; it ends somewhere, for the kernel has followed them all.
  for (; facts.isSymbolicLink(); facts = await fs.lstat(place)) {
    if (!isTrusted(facts)) throw refused(place, facts, `The link ${place} is another user's`);
    const parent = await fs.realpath(path.dirname(place));
    checkFolder(parent, await fs.lstat(parent));
    const target = (await fs.readlink(place)).replace(/(.)\/+$/, "$1");
    // Not path.resolve: what is above a link, the kernel says.
    place = path.isAbsolute(target) ? target : `${parent}/${target}`;
  }
  checkFolder(place, facts);
}

function checkFolder(folder: string, facts: Stats): void {
  const sticky = (facts.mode & 0o1000) !== 0;
  if (facts.isDirectory() && isTrusted(facts) && ((facts.mode & 0o022) === 0 || sticky)) return;
  throw refused(folder, facts, `Others can replace files in ${folder}`);
}

function isTrusted({ uid }: Stats): boolean {
  return uid === (process.getuid?.() ?? 0) || uid === 0;
}

function refused(folder: string, { mode, uid }: Stats, why: string): CudaIpcError {
  const bits = mode & 0o7777;
  return new CudaIpcError(
    "ERR_CUDA_IPC_SOCKET_FOLDER",
    `${why} (mode ${bits.toString(8)}, uid ${uid}): a socket there could be anybody's. Choose a folder of your own with mode 0700.`,
    { details: { folder, mode: bits, uid } },
  );
}
