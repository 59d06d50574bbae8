/** lan: see lan.ts, which can also be run alone and then says more. */
import { benchLan, lanBenchObstacle } from './lan.ts';
import type { Row } from './measure.ts';

export const lan: Row = {
  name: 'lan',
  goal: { atLeast: 0.4 },
  unit: '',
  how: 'TCP of two guests through a LAN ÷ over a direct pair, best of each',
  obstacle: lanBenchObstacle,
  async run({ rounds = 3, say }) {
    const { ratio, costRatio, directMbits, switchedMbits } = await benchLan(rounds);
    say(`Mbit/s: ${switchedMbits} ÷ ${directMbits}; by processor time ${costRatio.toFixed(2)}`);
    return { value: ratio, samples: { switchedMbits, directMbits, costRatio: [costRatio] } };
  },
};
