/**
 * What the configuration space of our virtio-input device shows (virtio 1.2, 5.8.4): the driver
 * selects and reads at once, so this is the register file's, on the thread of the hart.
 */
export const inputDeviceId = 18;

/** Linux's numbers of event types and keys (input-event-codes.h). */
export const event = { synchronize: 0, key: 1 } as const;
export const keys = [29, 56, 111] as const; // left Ctrl, left Alt, Delete
const select = { name: 1, deviceIds: 3, eventBits: 0x11 } as const;

/** What the configuration space shows for what the driver has selected. */
export function inputConfig(selected: number, subselected: number): Uint8Array {
  if (selected === select.name) return new TextEncoder().encode('Nymph keyboard');
  if (selected === select.deviceIds) return Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0); // BUS_VIRTUAL
  if (selected !== select.eventBits || subselected !== event.key) return new Uint8Array(0);
  const bits = new Uint8Array(16);
  for (const key of keys) bits[key >> 3]! |= 1 << (key & 7);
  return bits;
}
