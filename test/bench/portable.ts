/**
 * Runs one command inside the same kernel and initrd on the portable engine and on QEMU's TCG, one
 * after the other, and prints the rows they report with their ratio (above 1: we are faster).
 *
 *   node test/bench/portable.ts --kernel vmlinux --initrd initrd.gz --run bench [--cpus 1]
 *
 * The initrd's /init runs what follows `run=` (commas for spaces) and powers off; the command
 * prints rows `BENCH name number unit`, smaller being better.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    kernel: { type: 'string', default: '' },
    initrd: { type: 'string', default: '' },
    run: { type: 'string', default: 'bench' },
    cpus: { type: 'string', default: '1' },
  },
});
const timeoutMs = 600_000;

function rows(command: string, args: string[]): Promise<Map<string, number>> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const deadline = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    let text = '';
    child.stdout.on('data', (data: Buffer) => (text += data.toString('latin1')));
    child.on('error', reject);
    child.on('close', () => {
      clearTimeout(deadline);
      const found = text.matchAll(/^BENCH (\S+) ([\d.]+)/gm);
      resolve(new Map([...found].map((m) => [m[1]!, Number(m[2])])));
    });
  });
}

const append = `console=ttyS0 quiet run=${values.run}`;
const common = ['--append', append, '--memory', '512M', '--cpus', values.cpus];
const main = fileURLToPath(new URL('../../src-main/engines/riscv/node/main.ts', import.meta.url));
const files = ['--kernel', values.kernel, '--initrd', values.initrd];
const ours = await rows(process.execPath, [main, ...files, ...common]);
const theirs = await rows('qemu-system-riscv64', [
  '-M', 'virt', '-cpu', 'rv64', '-m', '512', '-smp', values.cpus, '-nographic',
  '-kernel', values.kernel, '-initrd', values.initrd, '-append', append,
]); // prettier-ignore

let logs = 0;
let count = 0;
for (const [name, value] of ours) {
  const other = theirs.get(name);
  if (other === undefined || !(value > 0) || !(other > 0)) continue;
  const ratio = other / value;
  logs += Math.log(ratio);
  count++;
  console.log(
    `${name.padEnd(12)} nymph ${value.toFixed(3).padStart(11)}   qemu ` +
      `${other.toFixed(3).padStart(11)}   ratio ${ratio.toFixed(2)}`,
  );
}
if (count > 0) console.log(`geometric mean of ${count} rows: ${Math.exp(logs / count).toFixed(2)}`);
