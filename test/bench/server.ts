/**
 * The server that is measured, in a process of its own, so that its memory and its processor time
 * are nobody else's: `node test/bench/server.ts HOME`. Builds no kernels, which would be work of
 * another kind; says `ready`; ends when its standard input does.
 */
import { startServer } from '../../src-main/shells/headless/server.ts';

const home = process.argv[2];
if (home === undefined) throw new Error('usage: server.ts HOME');
const server = await startServer({ home, buildKernels: false });
process.stdout.write('ready\n');
process.stdin.resume();
process.stdin.once('end', () => void server.close().then(() => process.exit(0)));
