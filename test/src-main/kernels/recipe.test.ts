/** The recipe is data: what goes into a kernel decides its key, and nothing else does. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { kernelEdits } from '../../../src-main/kernels/edits.ts';
import {
  commonGroups,
  flavourGroups,
  fragmentOptions,
  fragmentText,
  kernelFlavours,
  missingOptions,
  parseConfig,
} from '../../../src-main/kernels/fragment.ts';
import {
  kernelKey,
  readRecipeMark,
  recipeMark,
  recipeOf,
  sourceKey,
} from '../../../src-main/kernels/recipe.ts';

test('the same recipe always has the same hash of twelve digits', () => {
  assert.equal(recipeOf('up').hash, recipeOf('up').hash);
  assert.match(recipeOf('up').hash, /^[0-9a-f]{12}$/);
});

test('the hash does not depend on the order of the options or on the reasons of the edits', () => {
  const edits = kernelEdits.map((edit) => ({ ...edit, why: 'told otherwise' }));
  const options = fragmentOptions('up').reverse();
  assert.equal(recipeOf('up', edits, options).hash, recipeOf('up').hash);
});

test('another option, another edit and another flavour are another recipe', () => {
  const hashes = [
    recipeOf('up').hash,
    recipeOf('smp').hash,
    recipeOf('up', kernelEdits.slice(1)).hash,
    recipeOf('up', kernelEdits, [...fragmentOptions('up'), 'XFS_FS=y']).hash,
  ];
  assert.equal(new Set(hashes).size, hashes.length);
});

test('a kernel has a key of source, flavour and recipe; flavours share a source tree', () => {
  const recipe = recipeOf('smp');
  assert.equal(kernelKey('1:7.2.13-1~x/..', recipe), `1+7.2.13-1~x+..-smp-${recipe.hash}`);
  assert.equal(sourceKey('7.2', recipeOf('up')), sourceKey('7.2', recipeOf('smp')));
});

test('an edit of what only the native engine compiles leaves the portable kernel as it is', () => {
  const [edit] = kernelEdits.filter(({ file }) => file.startsWith('arch/um/'));
  assert.ok(edit);
  const fewer = kernelEdits.filter((each) => each !== edit);
  assert.equal(recipeOf('riscv64', fewer).hash, recipeOf('riscv64').hash);
  assert.notEqual(recipeOf('up', fewer).hash, recipeOf('up').hash);
});

test('the mark that a kernel carries names its recipe and its edits', () => {
  const mark = recipeMark('0123456789ab', ['flush', 'nesting']);
  assert.deepEqual(readRecipeMark(mark), { hash: '0123456789ab', features: ['flush', 'nesting'] });
  assert.equal(readRecipeMark(''), undefined);
  assert.equal(readRecipeMark('nymph_short'), undefined);
  assert.ok(recipeOf('up').fragment.includes(`CONFIG_BUILD_SALT="nymph_${recipeOf('up').hash}_`));
});

test('the fragment writes what is on, what is off, and every name of a renamed option', () => {
  assert.equal(
    fragmentText(['SMP=n', 'SYSCTL|PROC_SYSCTL=y', 'CON_CHAN="null"']),
    '# CONFIG_SMP is not set\nCONFIG_SYSCTL=y\nCONFIG_PROC_SYSCTL=y\nCONFIG_CON_CHAN="null"\n',
  );
});

test('options that a configuration did not take are found', () => {
  const off = '# CONFIG_SMP is not set\n';
  const config = `${off}CONFIG_PROC_SYSCTL=y\nCONFIG_LOG_BUF_SHIFT=14\nCONFIG_VT=y\n`;
  const options = ['SMP=n', 'SYSCTL|PROC_SYSCTL=y', 'LOG_BUF_SHIFT=16', 'VT=n', 'TUN=y'];
  assert.deepEqual(missingOptions(options, config), ['LOG_BUF_SHIFT=16', 'VT=n', 'TUN=y']);
  assert.equal(parseConfig(config).get('LOG_BUF_SHIFT'), '14');
});

test('no option is named twice and every group says why', () => {
  for (const flavour of kernelFlavours) {
    const names = fragmentOptions(flavour).map((option) => option.replace(/=.*/, ''));
    assert.equal(new Set(names).size, names.length);
    for (const option of fragmentOptions(flavour)) assert.match(option, /^[\w|]+=("[^"]*"|\w+)$/);
  }
  const groups = [...commonGroups, ...Object.values(flavourGroups).flat()];
  for (const group of groups) assert.match(group.why, /\.$/);
});
