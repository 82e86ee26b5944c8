import { type NativeAddon, native } from "../native.js";

let coming: Promise<unknown> | undefined;

/** Settles when the driver is up or has failed to come; undefined when it is not coming. */
export function driverComing(): Promise<unknown> | undefined {
  return coming;
}

/**
 * Brings the driver up on a thread of its own, beside whatever goes on here; undefined when it is up. What fails is
 * told to whoever uses the driver next.
 */
export function bringUpDriver(
  addon: Pick<NativeAddon, "driverIsUp" | "devices"> = native,
): Promise<unknown> | undefined {
  if (addon.driverIsUp()) return undefined;
  coming ??= addon
    .devices()
    .catch(() => {})
    .finally(() => {
      coming = undefined;
    });
  return coming;
}
