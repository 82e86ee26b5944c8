import { native } from "../native.js";
import { driverComing } from "./bring-up.js";

/**
 * Runs what is to use the driver of that name. Meanwhile no other can be chosen, and from then on it is this process's;
 * where it fails, the choice is what it was.
 */
export async function onDriver<T>(name: string, use: () => Promise<T>): Promise<T> {
  const pin = native.pinProvider(name);
  try {
    const used = await use();
    pin.keep();
    return used;
  } catch (error) {
    // While that driver is being brought up, it is the one in use.
    await driverComing();
    throw error;
  } finally {
    pin.close();
  }
}
