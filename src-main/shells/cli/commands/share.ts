/** Commands about folders of the host that a machine sees. */
import { basename, resolve } from 'node:path';
import { Refusal } from '../../../base/refusal.ts';
import type { ShareView } from '../../../contract/machine.ts';
import type { Client } from '../../../rpc/client.ts';
import type { Commands } from '../main.ts';
import { json, say, table } from '../print.ts';

export const shareCommands: Commands = {
  'share ls': {
    usage: 'share ls M',
    about: 'List the folders of this host that a machine sees under /mnt',
    words: [1, 1],
    run: async (client, { positionals, values }) => {
      const { shares } = await client.call('machine.get', { machine: positionals[0]! });
      if (values['json']) return json(shares);
      table(
        ['tag', 'folder', 'may'],
        shares.map(({ tag, path, readOnly }) => [tag, path, readOnly ? 'read' : 'read and write']),
      );
    },
  },
  'share add': {
    usage: 'share add M FOLDER [--tag T] [--write]',
    about: 'Show a machine a folder of this host from its next start on, as /mnt/T',
    options: { tag: { type: 'string' }, write: { type: 'boolean' } },
    words: [2, 2],
    run: async (client, { positionals, values }) => {
      const [machine, folder] = positionals as [string, string];
      const path = resolve(folder);
      const tag = String(values['tag'] ?? basename(path).toLowerCase());
      await change(client, machine, values['json'] === true, (shares) => [
        ...shares,
        { tag, path, readOnly: values['write'] !== true },
      ]);
    },
  },
  'share rm': {
    usage: 'share rm M T',
    about: 'Share a folder no longer, from the machine’s next start on',
    words: [2, 2],
    run: async (client, { positionals, values }) => {
      const [machine, tag] = positionals as [string, string];
      await change(client, machine, values['json'] === true, (shares) => {
        if (shares.some((share) => share.tag === tag)) return shares.filter((s) => s.tag !== tag);
        throw new Refusal('not-found', `“${machine}” has no shared folder “${tag}”.`);
      });
    },
  },
};

async function change(
  client: Client,
  machine: string,
  asJson: boolean,
  edit: (shares: ShareView[]) => ShareView[],
): Promise<void> {
  const { shares } = await client.call('machine.get', { machine });
  const changes = { shares: edit(shares) };
  const view = await client.call('machine.update', { machine, changes });
  if (asJson) json(view);
  else if (view.pending.includes('shares')) say('It counts from the machine’s next start.');
}
