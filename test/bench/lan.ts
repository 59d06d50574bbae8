/**
 * Goal: throughput of two kernels through the switch ÷ the same two joined directly, in one run.
 * Method: iperf3 over TCP from guest to guest, both ways of joining in turn, `rounds` times;
 * the best of each, as other work on the host can only take away. Run it alone:
 * `node test/bench/lan.ts [--json] [--rounds N]`. Target: at least 0.4.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { close, socketpairSeqpacket } from '../../src-main/base/node/posix.ts';
import { Lans } from '../../src-main/networks/node/lans.ts';
import { bootGuest, kernelPath } from '../guest/lan-guests.ts';

export interface LanBench {
  name: 'lan';
  ratio: number;
  target: number;
  directMbits: number[];
  switchedMbits: number[];
  /** Processor time per byte, direct ÷ switched: holds on a host that has other work as well. */
  costRatio: number;
}

interface Run {
  mbits: number;
  /** Of both kernels and of this process, for the whole run, per Mbit/s reached. */
  cpuPerMbit: number;
}

const macs = ['02:00:00:00:00:01', '02:00:00:00:00:02'] as const;

export async function benchLan(rounds = 3, seconds = 4): Promise<LanBench> {
  const direct: Run[] = [];
  const switched: Run[] = [];
  for (let round = 0; round < rounds; round += 1) {
    direct.push(await measure(seconds, socketpairSeqpacket()));
    switched.push(await measureSwitched(seconds));
  }
  const directMbits = direct.map((run) => run.mbits);
  const switchedMbits = switched.map((run) => run.mbits);
  const cheapest = (runs: Run[]): number => Math.min(...runs.map((run) => run.cpuPerMbit));
  return {
    name: 'lan', ratio: Math.max(...switchedMbits) / Math.max(...directMbits), target: 0.4,
    directMbits, switchedMbits, costRatio: cheapest(direct) / cheapest(switched),
  };
}

/** What keeps this from running here, or undefined. */
export function lanBenchObstacle(): string | undefined {
  if (kernelPath() === undefined) return 'no User Mode Linux kernel is installed';
  return existsSync('/usr/bin/iperf3') ? undefined : 'iperf3 is not installed';
}

async function measureSwitched(seconds: number): Promise<Run> {
  const lans = new Lans();
  try {
    const services = { dhcp: false, dns: false };
    await lans.createLan({ id: 'l', name: 'bench', subnet: '10.77.1.0/24', services });
    const ends: number[] = [];
    for (const mac of macs) {
      const [near, far] = socketpairSeqpacket();
      await lans.attach({ lanId: 'l', portId: mac, fd: far, machineName: mac, mac });
      close(far);
      ends.push(near);
    }
    return await measure(seconds, ends as [number, number]);
  } finally {
    await lans.close();
  }
}

/** Mbit/s as the receiver counts them. Takes and closes both descriptors. */
async function measure(seconds: number, ends: [number, number]): Promise<Run> {
  const up = (host: number): string =>
    `ifconfig vec0 10.77.1.${host} netmask 255.255.255.0 up; mount -t hostfs -o / none /host; `
    + 'mount -t proc none /host/proc; mount -t tmpfs none /host/tmp';
  const guest = (name: string, index: 0 | 1, script: string) => bootGuest({
    name, script, cards: [{ fds: [ends[index]], mac: macs[index] }], memoryMib: 128,
  });
  const iperf = 'chroot /host /usr/bin/iperf3';
  const server = guest('server', 0, `${up(11)}; ${iperf} -s -1; sleep 1000`);
  const client = guest('client', 1, `${up(12)}; while ! ping -c 1 -W 1 10.77.1.11; do :; done; `
    + `sleep 1; ${iperf} -c 10.77.1.11 -t ${seconds} -f m; echo FINISHED; sleep 1000`);
  close(ends[0]);
  close(ends[1]);
  try {
    await client.said(/Connecting to host/);
    const cpuMs = (): number => cpuOf(server.process.pid!) + cpuOf(client.process.pid!)
      + (process.cpuUsage().user + process.cpuUsage().system) / 1000;
    const beforeMs = cpuMs();
    const [, rate] = await client.said(/([\d.]+) Mbits\/sec\s+receiver[^]*FINISHED/);
    return { mbits: Number(rate), cpuPerMbit: (cpuMs() - beforeMs) / Number(rate) };
  } finally {
    await Promise.all([server.kill(), client.kill()]);
  }
}

/** Milliseconds of processor time so far, at the usual 100 ticks a second. */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const obstacle = lanBenchObstacle();
  const at = process.argv.indexOf('--rounds');
  if (obstacle !== undefined) {
    console.error(`skipped: ${obstacle}`);
  } else {
    const result = await benchLan(at < 0 ? 3 : Number(process.argv[at + 1]));
    if (process.argv.includes('--json')) console.log(JSON.stringify(result));
    else console.log(`LAN ÷ direct pair: ${result.ratio.toFixed(2)} (at least 0.4)`, result);
  }
}
