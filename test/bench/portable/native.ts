/** The host itself: the same programs compiled for it, their processes run on it as they are. */
import { existsSync } from 'node:fs';
import { guestProgram } from '../guest-program.ts';
import { compilerTools } from './programs.ts';
import type { Peer } from './peer.ts';

let program = '';
let tools = '';

export const native: Peer = {
  name: 'native',
  architecture: 'amd64',
  hartsMax: 2,
  cannot: { boot: 'it runs already' },
  obstacle: () => (existsSync('/usr/bin/gcc') ? undefined : 'gcc is not installed'),
  async prepare(say) {
    program = await guestProgram('amd64', say);
    tools = await compilerTools('amd64', say);
  },
  command(job) {
    const { rows, harts, repeats, disk, folder } = job;
    return {
      program,
      onHost: true,
      args: [
        ...[`rows=${rows.join()}`, `copies=${harts}`, `repeats=${repeats}`, `tools=${tools}`],
        // In place of a disk: the file that would hold it.
        ...(disk === undefined ? [] : [`data=${disk}`]),
        ...(folder === undefined ? [] : [`tmp=${folder}`]),
      ],
    };
  },
};
