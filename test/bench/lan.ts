/**
 * Goal: throughput of two kernels through the switch ÷ the same two joined directly, in one run.
 * Method: iperf3 over TCP from guest to guest, both ways of joining in turn, `rounds` times;
 * the best of each, as other work on the host can only take away. Run it alone:
 * `node test/bench/lan.ts [--json] [--rounds N]`. Target: at least 0.4.
 */
import { existsSync } from 'node:fs';
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
}

const macs = ['02:00:00:00:00:01', '02:00:00:00:00:02'] as const;

export async function benchLan(rounds = 3, seconds = 4): Promise<LanBench> {
  const direct: number[] = [];
  const switched: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    direct.push(await measure(seconds, socketpairSeqpacket()));
    switched.push(await measureSwitched(seconds));
  }
  const ratio = Math.max(...switched) / Math.max(...direct);
  return { name: 'lan', ratio, target: 0.4, directMbits: direct, switchedMbits: switched };
}

/** What keeps this from running here, or undefined. */
export function lanBenchObstacle(): string | undefined {
  if (kernelPath() === undefined) return 'no User Mode Linux kernel is installed';
  return existsSync('/usr/bin/iperf3') ? undefined : 'iperf3 is not installed';
}

async function measureSwitched(seconds: number): Promise<number> {
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
async function measure(seconds: number, ends: [number, number]): Promise<number> {
  const up = (host: number): string =>
    `ifconfig vec0 10.77.1.${host} netmask 255.255.255.0 up; mount -t hostfs -o / none /host; `
    + 'mount -t proc none /host/proc; mount -t tmpfs none /host/tmp';
  const guest = (name: string, index: 0 | 1, script: string) => bootGuest({
    name, script, cards: [{ fds: [ends[index]], mac: macs[index] }], memoryMib: 128,
  });
  const iperf = 'chroot /host /usr/bin/iperf3';
  const server = guest('server', 0, `${up(11)}; ${iperf} -s -1`);
  const client = guest('client', 1, `${up(12)}; while ! ping -c 1 -W 1 10.77.1.11; do :; done; `
    + `sleep 1; ${iperf} -c 10.77.1.11 -t ${seconds} -f m; echo FINISHED`);
  close(ends[0]);
  close(ends[1]);
  try {
    const [, rate] = await client.said(/([\d.]+) Mbits\/sec\s+receiver[^]*FINISHED/);
    return Number(rate);
  } finally {
    await Promise.all([server.kill(), client.kill()]);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const obstacle = lanBenchObstacle();
  const at = process.argv.indexOf('--rounds');
  if (obstacle !== undefined) {
    console.error(`skipped: ${obstacle}`);
  } else {
    const result = await benchLan(at < 0 ? 3 : Number(process.argv[at + 1]));
    if (process.argv.includes('--json')) console.log(JSON.stringify(result));
    else console.log(`LAN ÷ direct pair: ${result.ratio.toFixed(2)} (target ≥ ${result.target})`, result);
  }
}
