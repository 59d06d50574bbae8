/** For each method of the table one set of parameters it takes and one it must refuse. */
import type { Input, MethodName } from '../../src-main/contract/methods.ts';

type Examples = { [M in MethodName]: { accepted: Input<M>; refused: unknown } };

const machine = 'web';
const ofMachine = { accepted: { machine }, refused: { machine: '' } };
const ofNobody = { accepted: { machine }, refused: {} };
const ofAll = { accepted: {}, refused: 'everything' };
const cable = { accepted: { machine, network: 'lab' }, refused: { machine, network: 'Lab 1' } };
const ofKernel = { accepted: { kernel: 'auto' }, refused: { kernel: 7 } };
const ofJob = { accepted: { job: 'job-1' }, refused: {} };

export const examples: Examples = {
  'host.info': ofAll,
  'host.doctor': ofAll,
  'host.quit': { accepted: { machines: 'leave' }, refused: { machines: 'burn' } },
  'file.grant': { accepted: { path: '/a.img' }, refused: { path: '' } },
  'machine.list': ofAll,
  'machine.get': ofMachine,
  'machine.create': {
    accepted: { name: 'web', memoryMib: 64, networks: ['lab'] },
    refused: { name: 'Web Server' },
  },
  'machine.update': {
    accepted: { machine, changes: { cpus: 2, notes: 'hello' } },
    refused: { machine, changes: { cpus: 0 } },
  },
  'machine.config': ofMachine,
  'machine.setConfig': {
    accepted: { machine, text: 'cpus: 1' },
    refused: { machine, text: 'x'.repeat((1 << 18) + 1) },
  },
  'machine.remove': { accepted: { machine, force: true }, refused: { machine, force: 'yes' } },
  'machine.trash': ofAll,
  'machine.recover': ofMachine,
  'machine.purge': ofNobody,
  'machine.export': {
    accepted: { machine, path: '/tmp/web.nymph' },
    refused: { machine, path: '' },
  },
  'machine.import': {
    accepted: { source: { path: '/tmp/web.nymph' }, name: 'web' },
    refused: { source: { path: '/tmp/web.nymph' }, name: 'Web Server' },
  },
  'machine.start': ofNobody,
  'machine.stop': { accepted: { machine, timeoutMs: 100 }, refused: { machine, timeoutMs: 1 } },
  'machine.kill': ofMachine,
  'machine.pause': ofMachine,
  'machine.resume': ofMachine,
  'machine.suspend': ofMachine,
  'machine.clone': {
    accepted: { machine, snapshot: 'ready', name: 'web-2' },
    refused: { machine, snapshot: 'ready', name: 'Web 2' },
  },
  'snapshot.list': ofMachine,
  'snapshot.create': { accepted: { machine }, refused: { machine, snapshot: '../ready' } },
  'snapshot.revert': { accepted: { machine, snapshot: 'ready' }, refused: { machine } },
  'snapshot.remove': { accepted: { machine, snapshot: 'ready' }, refused: { machine } },
  'machine.reset': ofMachine,
  'machine.reclaim': ofNobody,
  'machine.monitor': {
    accepted: { machine, request: { verb: 'sysrq', key: 't' } },
    refused: { machine, request: { verb: 'proc', file: '../etc/shadow' } },
  },
  'machine.translator': ofMachine,
  'machine.log': ofMachine,
  'machine.exec': {
    accepted: { machine, argv: ['ls'], tty: { rows: 24, columns: 80 } },
    refused: { machine, argv: [] },
  },
  'machine.run': { accepted: { argv: ['ls'] }, refused: { argv: ['ls'], memoryMib: 1 } },
  'console.attach': { accepted: { machine, console: 7 }, refused: { machine, console: 8 } },
  'console.log': { accepted: { machine }, refused: { machine, console: -1 } },
  'console.resize': {
    accepted: { machine, console: 0, rows: 24, columns: 80 },
    refused: { machine, console: 0, rows: 0, columns: 80 },
  },
  'disk.add': { accepted: { machine, sizeBytes: 1 << 20 }, refused: { machine, sizeBytes: 512 } },
  'disk.detach': { accepted: { machine, disk: 'data1' }, refused: { machine } },
  'disk.delete': { accepted: { machine, disk: 'data1' }, refused: { machine, disk: 1 } },
  'network.list': ofAll,
  'network.create': { accepted: { name: 'lab', dns: false }, refused: { name: '../lab' } },
  'network.update': {
    accepted: { network: 'lab', position: { x: 1, y: 2 } },
    refused: { network: 'lab', dhcp: 'no' },
  },
  'network.remove': { accepted: { network: 'lab' }, refused: { network: '' } },
  'network.connect': cable,
  'network.disconnect': cable,
  'layout.get': ofAll,
  'layout.set': {
    accepted: { places: { a1b2: { x: 40, y: -12.5 } } },
    refused: { places: { a1b2: { x: 40 } } },
  },
  'image.list': ofAll,
  'image.info': { accepted: { image: 'tiny' }, refused: { image: '/etc/passwd' } },
  'image.inspect': {
    accepted: { source: { path: '/a.img' } },
    refused: { source: { path: '/a.img', grant: 'b' } },
  },
  'image.import': {
    accepted: { source: { grant: 'a' }, name: 'mine' },
    refused: { source: { grant: 'a' }, name: '..' },
  },
  'image.build': { accepted: { recipe: 'debian' }, refused: { recipe: 'windows' } },
  'image.remove': { accepted: { image: 'mine' }, refused: { image: 'a/b' } },
  'engine.prepare': { accepted: { engine: 'portable' }, refused: { engine: 'other' } },
  'kernel.list': ofAll,
  'kernel.build': { accepted: { flavour: 'smp' }, refused: { flavour: 'vanilla' } },
  'kernel.import': {
    accepted: { source: { path: '/linux' } },
    refused: { path: '/linux' },
  },
  'kernel.setDefault': ofKernel,
  'kernel.remove': ofKernel,
  'job.list': ofAll,
  'job.cancel': ofJob,
  'job.wait': ofJob,
  'job.log': ofJob,
  'events.subscribe': ofAll,
  'stats.watch': { accepted: { machines: [machine] }, refused: { machines: machine } },
};
