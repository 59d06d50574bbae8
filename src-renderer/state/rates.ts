/** Bytes a second out of two looks at a LAN's counters. */
type Port = { machine: string; nic: string; rxBytes: number; txBytes: number };
type Counted = { ports: readonly Port[] };

/** As the machine at the port sees it: what the switch sends it is what it receives. */
export type PortRate = { received: number; sent: number };

export type LanSample = {
  atMs: number;
  /** Through the whole LAN: what all machines have sent into it. */
  total: number;
  /** By `portKey`. */
  ports: ReadonlyMap<string, PortRate>;
};

/** A hardware address will not do: two machines may be given the same by hand. */
export function portKey(port: { machine: string; nic: string }): string {
  return `${port.machine} ${port.nic}`;
}

/** A counter that went back belongs to a cable just plugged in: it counts from nothing. */
export function lanSample(
  before: Counted,
  after: Counted,
  { passedMs, atMs }: { passedMs: number; atMs: number },
): LanSample {
  const old = new Map(before.ports.map((port) => [portKey(port), port]));
  const perSecond = (now: number, then: number) => (Math.max(0, now - then) * 1000) / passedMs;
  const ports = new Map<string, PortRate>();
  let total = 0;
  for (const port of after.ports) {
    const last = old.get(portKey(port)) ?? port;
    const sent = perSecond(port.rxBytes, last.rxBytes);
    ports.set(portKey(port), { received: perSecond(port.txBytes, last.txBytes), sent });
    total += sent;
  }
  return { atMs, total, ports };
}
