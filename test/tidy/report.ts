/**
 * `node test/tidy/report.ts` prints every fault the rules find, grouped by room; with `--lower`
 * it also writes the sizes of today into ratchet.json where they have shrunk.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readHouse, root, type Fault } from './house.ts';
import {
  danglingAndUnimported,
  foreignPackages,
  impure,
  mainRoom,
  outsideTable,
} from './layers.ts';
import {
  banned,
  documents,
  excess,
  fileNames,
  headers,
  longLines,
  ratchetFaults,
  type Excess,
} from './style.ts';
import { electronFaults } from './electron.ts';

const ratchetPath = join(root, 'test/tidy/ratchet.json');
const house = readHouse();
const allowed: Excess = JSON.parse(readFileSync(ratchetPath, 'utf8'));
const found = excess(house);

if (process.argv.includes('--lower')) {
  const lowered: Excess = {};
  for (const [key, before] of Object.entries(allowed)) {
    if (key in found) lowered[key] = Math.min(before, found[key]!);
  }
  writeFileSync(ratchetPath, `${JSON.stringify(lowered, null, 2)}\n`);
}

const faults: Fault[] = [
  ...outsideTable(house),
  ...impure(house),
  ...foreignPackages(house),
  ...danglingAndUnimported(house),
  ...headers(house),
  ...fileNames(house),
  ...longLines(house),
  ...ratchetFaults(found, allowed),
  ...banned(house),
  ...documents(house),
  ...electronFaults(house),
];

const byRoom = new Map<string, Fault[]>();
for (const fault of faults) {
  const path = fault.split(/[:#]/)[0]!;
  const room = mainRoom(path.replace('test/src-main/', 'src-main/')) ?? path.split('/')[0]!;
  byRoom.set(room, [...(byRoom.get(room) ?? []), fault]);
}
for (const [room, list] of [...byRoom].sort()) {
  console.log(`${room} (${list.length})`);
  for (const fault of list.sort()) console.log(`  ${fault}`);
}
console.log(`${faults.length} faults`);
