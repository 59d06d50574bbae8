/**
 * Where things stand on the canvas. A LAN stands where the server keeps it, or in a row of its
 * own; a machine where the user left it, or below the first LAN it is on.
 */
import type { MachineView } from '@contract/machine.ts';
import type { NetworkView } from '@contract/things.ts';

export type Point = { x: number; y: number };

const columnWidth = 360;
const machineWidth = 176;
const rowHeight = 92;
const perRow = 2;
const looseRow = 5;

export function lanPlaces(networks: readonly NetworkView[]): Map<string, Point> {
  const places = new Map<string, Point>();
  networks.forEach(({ name, position }, index) => {
    places.set(name, position ?? { x: index * columnWidth, y: 40 });
  });
  return places;
}

export function machinePlaces(
  machines: readonly MachineView[],
  lans: ReadonlyMap<string, Point>,
  lanOf: (network: string) => string | undefined,
  kept: Readonly<Record<string, Point>>,
): Map<string, Point> {
  const places = new Map<string, Point>();
  const counts = new Map<string, number>();
  const own = (machine: MachineView) =>
    machine.nics.map(({ network }) => lanOf(network) ?? '').filter(Boolean);
  const wired = machines.filter((machine) => own(machine).length > 0);
  const loose = machines.filter((machine) => own(machine).length === 0);
  for (const machine of wired) {
    // A machine on several LANs stands between the first two, above them.
    const [first = '', second] = own(machine);
    const group = second ? `${first}+${second}` : first;
    const index = counts.get(group) ?? 0;
    counts.set(group, index + 1);
    places.set(machine.id, kept[machine.id] ?? spot([first, second], index, lans));
  }
  const lowest = Math.max(-rowHeight, ...[...lans.values(), ...places.values()].map(({ y }) => y));
  loose.forEach(({ id }, index) => {
    const x = (index % looseRow) * machineWidth - 60;
    const y = lowest + 120 + Math.floor(index / looseRow) * rowHeight;
    places.set(id, kept[id] ?? { x, y });
  });
  return places;
}

function spot(
  own: readonly (string | undefined)[],
  index: number,
  lans: ReadonlyMap<string, Point>,
): Point {
  const first = lans.get(own[0] ?? '');
  const second = lans.get(own[1] ?? '');
  const column = index % perRow;
  const row = Math.floor(index / perRow);
  if (first && second) {
    const x = (first.x + second.x) / 2 + 24 + index * machineWidth;
    return { x, y: Math.min(first.y, second.y) - 130 - row * rowHeight };
  }
  const { x, y } = first ?? { x: 0, y: 0 };
  return { x: x - 50 + column * machineWidth, y: y + 140 + row * rowHeight };
}
