/**
 * The machine.yaml of a bundle, made fit for this host: `adoptSpec(text, disks, here)`. It was
 * written elsewhere, perhaps by somebody who means harm, so what widens a machine's reach is left
 * out and said so: its owner can set it again in one line.
 *
 * Must hold: the new machine is confined, has an id and card addresses of its own, names no file
 * but its own disks, and is on no LAN that is not here.
 */
import { assert } from '../base/assert.ts';
import { Refusal } from '../base/refusal.ts';
import { editSpec, parseSpec, type MachineSpec, type NicSpec } from '../machine/spec.ts';

export interface Here {
  /** The new machine's id. */
  readonly id: string;
  /** Tags with a meaning to us, which a file must not give. */
  readonly reservedTags: readonly string[];
  hasNetwork(name: string): boolean;
  makeNic(machineId: string, network: string, slot: number): NicSpec;
}

export interface Adopted {
  /** The new machine.yaml, with its owner's comments. */
  readonly text: string;
  readonly spec: MachineSpec;
  /** What was not taken over, a sentence each. */
  readonly leftOut: readonly string[];
}

/** The file of a disk that came in a bundle. */
export function bundledFile(id: string): string {
  return `${id}.raw`;
}

/** @throws Refusal `bad-input` for a text that is no machine's, or not of these disks. */
export function adoptSpec(text: string, disks: readonly { id: string }[], here: Here): Adopted {
  const given = parseSpec(text);
  const same = given.disks.length === disks.length &&
    given.disks.every(({ id }, index) => id === disks[index]!.id); // prettier-ignore
  if (!same) {
    throw new Refusal(
      'bad-input',
      'This machine bundle is damaged: its disks are not those of its machine.yaml.',
    );
  }
  const nics = given.nics
    .filter(({ network }) => here.hasNetwork(network))
    .map(({ network, slot }) => here.makeNic(here.id, network, slot));
  const tags = given.tags.filter((tag) => !here.reservedTags.includes(tag));
  const edited = editOf(text, {
    id: here.id,
    parent: undefined,
    disks: given.disks.map(({ id, attached }) => ({
      id,
      file: bundledFile(id),
      ...(attached ? {} : { attached: false }),
    })),
    image: undefined,
    kernel: undefined,
    commandLine: undefined,
    confinement: undefined,
    shares: undefined,
    firmware: undefined,
    nics: nics.length > 0 ? nics : undefined,
    tags: tags.length > 0 ? tags : undefined,
  });
  const spec = parseSpec(edited);
  assert(spec.confinement === 'on' && spec.commandLine === '', 'a new machine is confined');
  return { text: edited, spec, leftOut: leftOutOf(given, here) };
}

/** A text may hang together in ways that an edit breaks, such as an alias of what is left out. */
function editOf(text: string, changes: Parameters<typeof editSpec>[1]): string {
  try {
    return editSpec(text, changes);
  } catch (thrown) {
    if (thrown instanceof Refusal) throw thrown;
    throw new Refusal('bad-input', 'The machine.yaml in this bundle cannot be taken over.');
  }
}

function leftOutOf(given: MachineSpec, here: Here): string[] {
  const said: string[] = [];
  if (given.confinement === 'off') {
    said.push('Its compartment was switched off; here it is on.');
  }
  if (given.commandLine !== '') {
    said.push(`The words for its kernel, “${given.commandLine.slice(0, 200)}”, are left out.`);
  }
  if (given.kernel !== 'auto') {
    said.push(`It asked for the kernel “${given.kernel}”; here one is chosen for it.`);
  }
  if (given.shares.length > 0) {
    said.push('The folders of its host that it shared are left out.');
  }
  if (given.firmware !== undefined) said.push('The firmware of its host is left out.');
  for (const network of new Set(given.nics.map((nic) => nic.network))) {
    if (!here.hasNetwork(network)) said.push(`There is no network “${network}” here.`);
  }
  return said;
}
