/**
 * The virtual LANs: what they are called and how they are set up (kept in `networks.json`), and
 * which machine's cable is in which. Frames never come here; the switch thread has them.
 */
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { asRefusal, Refusal } from '../../base/refusal.ts';
import { readTextIfThere, writeFileAtomic } from '../../base/node/files.ts';
import type { NetworkView } from '../../contract/things.ts';
import type { NicSpec } from '../../machine/spec.ts';
import { Lans } from '../../networks/node/lans.ts';
import type { Driver } from './driver.ts';
import type { Paths } from './paths.ts';

type LanNote = {
  id: string;
  name: string;
  /** The third byte of 10.77.N.0/24. */
  number: number;
  dhcp: boolean;
  dns: boolean;
  position?: { x: number; y: number };
};

type Cable = { lan: string; machine: Driver; nic: NicSpec; port: string };

const lansMax = 200;

export class LanHouse {
  private notes: LanNote[] = [];
  private readonly cables = new Map<string, Cable>();
  private lans?: Lans;
  /** Addresses leased to cards, by hardware address. */
  private held: Record<string, string> = {};
  private readonly paths: Paths;
  private readonly machines: () => Iterable<Driver>;
  private readonly announce: (id: string) => void;
  private readonly rates = new Map<string, { atMs: number; rxBytes: number; perSecond: number }>();

  constructor(parts: {
    paths: Paths;
    machines: () => Iterable<Driver>;
    announce: (id: string) => void;
  }) {
    this.paths = parts.paths;
    this.machines = parts.machines;
    this.announce = parts.announce;
  }

  async open(): Promise<void> {
    const text = await readTextIfThere(this.file);
    if (text !== undefined) this.notes = JSON.parse(text) as LanNote[];
    const held = await readTextIfThere(this.leasesFile);
    if (held !== undefined) this.held = JSON.parse(held) as Record<string, string>;
  }

  async close(): Promise<void> {
    await this.lans?.close();
  }

  list(): NetworkView[] {
    return this.notes.map((note) => this.viewOf(note));
  }

  /** By name or id. */
  view(name: string): NetworkView | undefined {
    const note = this.notes.find((other) => other.name === name || other.id === name);
    return note && this.viewOf(note);
  }

  has(name: string): boolean {
    return this.notes.some((note) => note.name === name);
  }

  async create(name: string, services: { dhcp: boolean; dns: boolean }): Promise<NetworkView> {
    if (this.has(name)) throw new Refusal('exists', `There is a network “${name}” already.`);
    if (this.notes.length >= lansMax)
      throw new Refusal('no-space', 'There are 200 networks already.');
    const taken = new Set(this.notes.map((note) => note.number));
    const number = Array.from({ length: 250 }, (_, index) => index + 1).find((n) => !taken.has(n))!;
    const note: LanNote = { id: randomBytes(4).toString('hex'), name, number, ...services };
    await this.save([...this.notes, note]);
    this.announce(note.id);
    return this.viewOf(note);
  }

  async update(
    name: string,
    changes: { dhcp?: boolean; dns?: boolean; position?: { x: number; y: number } },
  ): Promise<NetworkView> {
    const note = this.find(name);
    const given = Object.entries(changes).filter(([, value]) => value !== undefined);
    const changed: LanNote = { ...note, ...Object.fromEntries(given) };
    await this.save(this.notes.map((other) => (other.id === note.id ? changed : other)));
    if (this.lans && (changes.dhcp !== undefined || changes.dns !== undefined)) {
      await this.lans.setServices(note.id, { dhcp: changed.dhcp, dns: changed.dns });
    }
    this.announce(note.id);
    return this.viewOf(changed);
  }

  async remove(name: string): Promise<string> {
    const note = this.find(name);
    const users = [...this.machines()].filter((machine) =>
      machine.spec?.nics.some((nic) => nic.network === note.name),
    );
    if (users.length > 0) {
      const who = users
        .slice(0, 3)
        .map((user) => `“${user.name}”`)
        .join(', ');
      throw new Refusal('in-use', `The network “${name}” has ${who} connected to it.`);
    }
    await this.save(this.notes.filter((other) => other.id !== note.id));
    if (this.lans?.has(note.id)) await this.lans.removeLan(note.id);
    return note.id;
  }

  /** All cards of a machine that runs; what cannot be joined is in its log. */
  async join(machine: Driver): Promise<void> {
    for (const nic of machine.spec?.nics ?? []) {
      await this.attach(machine, nic).catch((thrown: unknown) => {
        machine.note(asRefusal(thrown).message);
      });
    }
  }

  /** Joins the far end of a running machine's card to the LAN that the card names. */
  async attach(machine: Driver, nic: NicSpec): Promise<void> {
    const fd = machine.running?.networkEnd(nic.slot);
    if (fd === undefined) {
      throw new Refusal(
        'denied',
        `The host does not allow taking up ${machine.name}’s network again; restart the machine.`,
      );
    }
    const note = this.find(nic.network);
    const lans = (this.lans ??= new Lans({
      onLeases: (id) => this.takeLeases(id),
      onFault: () => this.notes.forEach(({ id }) => this.announce(id)),
    }));
    if (!lans.has(note.id)) {
      await lans.createLan({
        id: note.id,
        name: note.name,
        subnet: `10.77.${note.number}.0/24`,
        services: { dhcp: note.dhcp, dns: note.dns },
      });
    }
    const port = `${machine.spec!.id}.${nic.slot}`;
    await lans.attach({
      lanId: note.id,
      portId: port,
      fd,
      machineName: machine.name,
      mac: nic.mac,
      heldAddress: machine.goesOn ? this.held[nic.mac] : undefined,
    });
    this.cables.set(port, { lan: note.id, machine, nic, port });
    this.announce(note.id);
  }

  async detach(machine: Driver, nic: NicSpec): Promise<void> {
    const cable = this.cables.get(`${machine.spec!.id}.${nic.slot}`);
    if (!cable) return;
    this.cables.delete(cable.port);
    await this.lans?.detach(cable.port);
    this.announce(cable.lan);
  }

  /** The machine is gone, and its descriptors with it. */
  forget(machine: Driver): void {
    for (const cable of [...this.cables.values()].filter((other) => other.machine === machine)) {
      this.cables.delete(cable.port);
      void this.lans?.detach(cable.port).catch(() => undefined);
      this.announce(cable.lan);
    }
  }

  connected(machine: Driver, nic: NicSpec): boolean {
    return this.cables.has(`${machine.spec?.id}.${nic.slot}`);
  }

  /** What the LAN's own DHCP has leased to that card. */
  addressOf(network: string, mac: string): string | undefined {
    const note = this.notes.find((other) => other.name === network);
    return note && this.lans?.leases(note.id).find((lease) => lease.mac === mac)?.address;
  }

  /** Frames and bytes a machine's cards have moved, as the machine sees them. */
  traffic(machine: Driver): { rxBytes: number; txBytes: number } {
    let rxBytes = 0;
    let txBytes = 0;
    for (const cable of this.cables.values()) {
      if (cable.machine !== machine) continue;
      const counters = this.lans?.portCounters(cable.port);
      // What the switch receives is what the machine has sent.
      rxBytes += counters?.txBytes ?? 0;
      txBytes += counters?.rxBytes ?? 0;
    }
    return { rxBytes, txBytes };
  }

  /** Kept for a server that comes after this one, for as long as the machines' run folder. */
  private takeLeases(id: string): void {
    for (const lease of this.lans?.leases(id) ?? []) this.held[lease.mac] = lease.address;
    this.announce(id);
    void writeFileAtomic(this.leasesFile, JSON.stringify(this.held)).catch(() => {});
  }

  private get leasesFile(): string {
    return join(this.paths.run, 'leases.json');
  }

  private viewOf(note: LanNote): NetworkView {
    const ports = [...this.machines()].flatMap((machine) =>
      (machine.spec?.nics ?? [])
        .filter((nic) => nic.network === note.name)
        .map((nic) => {
          const port = `${machine.spec!.id}.${nic.slot}`;
          const counters = this.lans?.portCounters(port);
          return {
            machine: machine.name,
            nic: nic.id,
            mac: nic.mac,
            address: this.addressOf(note.name, nic.mac),
            linkUp: this.cables.has(port),
            rxFrames: counters?.rxFrames ?? 0,
            rxBytes: counters?.rxBytes ?? 0,
            txFrames: counters?.txFrames ?? 0,
            txBytes: counters?.txBytes ?? 0,
            dropped: counters?.dropped ?? 0,
          };
        }),
    );
    return {
      id: note.id,
      name: note.name,
      subnet: `10.77.${note.number}.0/24`,
      gateway: `10.77.${note.number}.1`,
      services: { dhcp: note.dhcp, dns: note.dns },
      ports,
      rxBytesPerSecond: this.rate(
        note.id,
        ports.reduce((sum, port) => sum + port.rxBytes, 0),
      ),
      dropped: ports.reduce((sum, port) => sum + port.dropped, 0),
      ...(note.position ? { position: note.position } : {}),
      ...(this.lans?.fault === undefined ? {} : { fault: this.lans.fault }),
    };
  }

  /** Bytes per second since the last look that was at least half a second ago. */
  private rate(id: string, rxBytes: number): number {
    const atMs = performance.now();
    const last = this.rates.get(id);
    if (last && atMs - last.atMs < 500) return last.perSecond;
    const perSecond = last
      ? Math.max(0, ((rxBytes - last.rxBytes) * 1000) / (atMs - last.atMs))
      : 0;
    this.rates.set(id, { atMs, rxBytes, perSecond });
    return perSecond;
  }

  private find(name: string): LanNote {
    const note = this.notes.find((other) => other.name === name);
    if (!note) throw new Refusal('not-found', `There is no network “${name}”.`);
    return note;
  }

  private get file(): string {
    return join(this.paths.data, 'networks.json');
  }

  private async save(notes: LanNote[]): Promise<void> {
    await writeFileAtomic(this.file, JSON.stringify(notes, null, 2), 0o644);
    this.notes = notes;
  }
}
