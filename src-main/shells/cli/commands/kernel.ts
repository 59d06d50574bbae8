/** Commands about kernels. */
import { resolve } from 'node:path';
import type { Commands } from '../main.ts';
import { bytes, data, json, say, table } from '../print.ts';
import { followJob } from './image.ts';

export const kernelCommands: Commands = {
  'kernel ls': {
    usage: 'kernel ls',
    about: 'List the kernels',
    words: [0, 0],
    run: async (client, { values }) => {
      const kernels = await client.call('kernel.list', {});
      if (values['json']) return json(kernels);
      table(
        ['id', 'version', 'flavour', 'size', 'used by'],
        kernels.map((kernel) => [
          `${kernel.id}${kernel.default ? ' (default)' : ''}`,
          kernel.version,
          kernel.flavour,
          bytes(kernel.sizeBytes),
          kernel.usedBy.join(' ') || '-',
        ]),
      );
    },
  },
  'kernel build': {
    usage: 'kernel build [--watch] [--smp | --portable]',
    about: 'Build the vkernel from its recipe; --watch stays and shows progress',
    options: {
      watch: { type: 'boolean' },
      smp: { type: 'boolean' },
      portable: { type: 'boolean' },
    },
    words: [0, 0],
    run: async (client, { values }) => {
      const flavour = values['portable'] ? 'riscv64' : values['smp'] ? 'smp' : 'up';
      const job = await client.call('kernel.build', { flavour });
      if (values['watch']) data(await followJob(client, job));
      else if (values['json']) json(job);
      else say('Building; nymph kernel ls shows it when it is done.');
    },
  },
  'kernel import': {
    usage: 'kernel import FILE',
    about: 'Add a kernel: User Mode Linux, a RISC-V image, or Debian’s linux-image-*-riscv64',
    words: [1, 1],
    run: async (client, { positionals, values }) => {
      const kernel = await client.call('kernel.import', {
        source: { path: resolve(positionals[0]!) },
      });
      if (values['json']) json(kernel);
      else data(kernel.id);
    },
  },
  'kernel default': {
    usage: 'kernel default K',
    about: 'Choose the kernel of machines that name none; “auto” lets Nymph choose',
    words: [1, 1],
    run: async (client, { positionals }) => {
      await client.call('kernel.setDefault', { kernel: positionals[0]! });
    },
  },
  'kernel rm': {
    usage: 'kernel rm K',
    about: 'Delete a kernel',
    words: [1, 1],
    run: async (client, { positionals }) => {
      await client.call('kernel.remove', { kernel: positionals[0]! });
    },
  },
};
