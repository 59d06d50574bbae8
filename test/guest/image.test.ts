/**
 * Our images as a user meets them: Tiny Linux on our kernel, from the prompt to the power switch,
 * and two of them on one wire. Debian is in image-debian.test.ts.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { buildTiny } from '../../src-main/images/node/tiny.ts';
import { bootMachine, imageCache, run } from './agent-machine.ts';

const tiny = async () => (await buildTiny({ cache: imageCache })).path;

test('Tiny Linux asks for a login, lets root in and says what can be done', async (t) => {
  const machine = await bootMachine(t, { image: await tiny() });
  await machine.console('test login: ');
  assert.match(machine.output(), /Tiny Linux, kernel \d+\.\d+\S*, on tty0/);
  machine.type('\n-f root\nroot\n');
  await machine.console('poweroff          stop this machine');
  await machine.console('root@test:~# ');
  machine.type('id -un; exit\n');
  await machine.console(/\nroot\r[^]*test login: $/);
});

test('poweroff and reboot, typed by the user, are orderly and quick', async (t) => {
  const machine = await bootMachine(t, { image: await tiny() });
  await machine.console('login: ');
  machine.type('root\n');
  await machine.console('# ');
  const before = machine.output().length;
  machine.type('sleep 1000 & reboot\n');
  await machine.console('login: ', before);
  machine.type('root\n');
  await machine.console('# ', machine.output().lastIndexOf('login: '));
  machine.type('poweroff\n');
  assert.deepEqual(await machine.ended, { code: 0, signal: null });
});

test('the commands of the tour are there', async (t) => {
  const machine = await bootMachine(t, { image: await tiny() });
  const client = await machine.attach();
  const names = ['ping', 'nc', 'wget', 'httpd', 'vi', 'less', 'awk', 'ip', 'udhcpc', 'top', 'free'];
  const list = `for c in ${names.join(' ')}; do command -v $c; done | wc -l`;
  const { stdout } = await run(client, list);
  assert.equal(stdout.trim(), String(names.length));
  const visit = 'httpd -h /var/www; wget -qO- http://localhost/; ping -c1 localhost';
  const page = await run(client, visit);
  assert.match(page.stdout, /Hello from a Tiny Linux machine[^]*1 packets received/);
});

test('a card that is on a wire with a DHCP server gets its address by itself', async (t) => {
  const image = await tiny();
  const base = 20_000 + (process.pid % 20_000);
  // UML's own L2TPv3 over UDP: two guests directly joined, nothing of ours in between.
  const wire = (from: number, to: number, mac: string) =>
    `vec0:transport=l2tpv3,udp=1,src=127.0.0.1,dst=127.0.0.1,srcport=${from},dstport=${to},` +
    `rx_session=1,tx_session=1,mac=${mac}`;
  const serverWire = wire(base, base + 1, '52:54:00:00:00:01');
  const server = await bootMachine(t, { image, words: [serverWire] });
  const servant = await server.attach();
  await run(servant, `
    until pidof udhcpc; do usleep 10000; done; killall udhcpc
    while pidof udhcpc; do usleep 10000; done
    ip addr add 10.9.0.1/24 dev vec0
    cat >/tmp/udhcpd.conf <<END
start 10.9.0.20
end 10.9.0.20
interface vec0
option subnet 255.255.255.0
option router 10.9.0.1
option dns 10.9.0.1
option domain lan
END
    mkdir -p /var/lib/misc; touch /var/lib/misc/udhcpd.leases; udhcpd /tmp/udhcpd.conf`);
  const guest = await bootMachine(t, { image, words: [wire(base + 1, base, '52:54:00:00:00:02')] });
  const client = await guest.attach();
  const waited = await run(client, [
    'i=0; until ip addr show dev vec0 | grep -q 10.9.0.20/24; do',
    'i=$((i+1)); [ $i -gt 300 ] && break; usleep 100000; done',
    'ip route; cat /etc/resolv.conf; ping -c1 -W5 10.9.0.1',
  ].join('\n'));
  assert.match(waited.stdout, /default via 10\.9\.0\.1 dev vec0/);
  assert.match(waited.stdout, /search lan\nnameserver 10\.9\.0\.1/);
  assert.match(waited.stdout, /1 packets received/);
});
