import { type NativeFd, native } from "../native.js";
import type { JobMessages, LoaderMessages } from "../wire/loader-messages.js";
import { fillSlabs } from "./fill.js";
import { chooseSharing } from "./sharing.js";

/** Fills memory as the plan says. The descriptors that come with the answer are all that holds it. */
export async function load(
  { sources, slabs, threads, io, verify }: JobMessages["load"],
  fds: NativeFd[],
  report: (progress: Omit<LoaderMessages["progress"], "fds">) => void,
): Promise<{ message: Omit<LoaderMessages["loaded"], "fds">; fds: NativeFd[] }> {
  const devices = await native.devices();
  chooseSharing(
    devices,
    slabs.map(({ device }) => device),
    "vmm",
  );
  let next = 0;
  const parts = sources.map((source) => source ?? `/proc/self/fd/${fds[next++]!.fd}`);
  const filled = await fillSlabs(parts, slabs, {
    ...{ sharing: "vmm", devices },
    threads,
    io,
    verify,
    onProgress: (progress) => report({ type: "progress", ...progress }),
  });
  const described = filled.map(({ slab: { id, device, bytes }, checksum }) => ({
    ...{ id, device, bytes },
    checksum: checksum.toString("hex"),
  }));
  return { message: { type: "loaded", slabs: described }, fds: filled.map(({ slab }) => slab.fd!) };
}

/** Checksums the content of memory that somebody else has made. */
export async function verify(
  { slabs }: JobMessages["verify"],
  fds: NativeFd[],
): Promise<Omit<LoaderMessages["verified"], "fds">> {
  const checksums: string[] = [];
  for (const [index, { id, device: uuid, bytes, contentBytes }] of slabs.entries()) {
    const fd = fds[index];
    const mapping = await native.openSlab({ id: Buffer.from(id, "hex"), uuid, bytes, access: "read", fd });
    const checksum = await native.checksum(mapping.device, mapping.devicePointer, contentBytes);
    checksums.push(checksum.toString("hex"));
    await mapping.close(null);
  }
  return { type: "verified", checksums };
}
