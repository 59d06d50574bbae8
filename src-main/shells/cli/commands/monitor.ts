/** `monitor`: words to a machine's kernel past its guest's programs, by its management console. */
import { Refusal } from '../../../base/refusal.ts';
import { kernelRequest } from '../../../contract/machine.ts';
import type { Commands } from '../main.ts';
import { data, json } from '../print.ts';

export const monitorCommands: Commands = {
  monitor: {
    usage: 'monitor M version | sysrq KEY | proc FILE | stack PID | cad | halt | reboot',
    about: 'Tell a native machine’s kernel something, though its programs may hang',
    words: [2, 3],
    run: async (client, { positionals: [machine = '', verb, word], values }) => {
      const names: Record<string, string> = { sysrq: 'key', proc: 'file', stack: 'pid' };
      const name = names[verb!];
      const value = name === 'pid' ? Number(word) : word;
      const request = kernelRequest.safeParse({ verb, ...(name ? { [name]: value } : {}) });
      if (!request.success || (name === undefined) !== (word === undefined)) {
        throw new Refusal('usage', `usage: nymph ${monitorCommands['monitor']!.usage}`);
      }
      const { text } = await client.call('machine.monitor', { machine, request: request.data });
      if (values['json']) json({ text });
      else if (text !== '') data(text);
    },
  },
};
