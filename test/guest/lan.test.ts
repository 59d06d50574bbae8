/**
 * Goal: two real kernels on one LAN get addresses, find each other by name and talk; the LAN
 * survives a restart of its thread. Method: busybox guests, ends plugged in as the app does it.
 */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { close, socketpairSeqpacket } from '../../src-main/base/node/posix.ts';
import { Lans } from '../../src-main/networks/node/lans.ts';
import { bootGuest, kernelPath, udhcpc, type Guest } from './lan-guests.ts';

const skip = kernelPath() === undefined ? 'no User Mode Linux kernel is installed' : false;

async function plugged(t: TestContext, lans: Lans, name: string, mac: string,
  script: string): Promise<Guest> {
  const [near, far] = socketpairSeqpacket();
  await lans.attach({ lanId: 'l', portId: name, fd: far, machineName: name, mac });
  // Both ends live on in the kernel's process, so the pair outlives this one.
  const guest = bootGuest({ name, script, cards: [{ fds: [near, far], mac }] });
  t.after(() => guest.kill());
  close(near);
  close(far);
  return guest;
}

test('two guests lease addresses, find each other by name and ping', { skip },
  async (t) => {
  const lans = new Lans();
  t.after(() => lans.close());
  await lans.createLan({ id: 'l', name: 'lab', subnet: '10.77.9.0/24', services: { dhcp: true,
    dns: true } });
  const serve = `${udhcpc}; echo bravo is up; read line < /dev/zero`;
  const bravo = await plugged(t, lans, 'bravo', '02:00:00:00:00:0b', serve);
  await bravo.said(/leased 10\.77\.9\.\d+/);
  const alpha = await plugged(t, lans, 'alpha', '02:00:00:00:00:0a', [
    udhcpc, 'nslookup bravo.lan', 'ping -c 2 bravo.lan', 'ping -c 1 10.77.9.1',
    'nslookup www.example.org || echo no outside', 'echo waiting; ping -c 60 bravo.lan',
  ].join('; '));
  const [, address] = await alpha.said(/leased (10\.77\.9\.\d+)/);
  await alpha.said(/2 packets transmitted, 2 packets received/);
  await alpha.said(/PING 10\.77\.9\.1[^]*1 packets transmitted, 1 packets received/);
  await alpha.said(/no outside/);
  assert.equal(lans.leases('l').find((lease) => lease.portId === 'alpha')?.address, address);
  assert.equal(lans.leases('l').length, 2);
  assert.equal(lans.lanCounters('l')!.dropped, 0);

  await alpha.said(/waiting[^]*seq=1 /);
  await lans.restart();
  await alpha.said(/waiting[^]*seq=4 /);
});
