// What it cost, and which calls have no price.

import { api } from './api.js';
import { choice, partly, table, tiles, WINDOWS } from './chart.js';
import { fault, fill, h, title } from './dom.js';
import { link } from './url.js';

const BY = ['agent', 'model', 'session', 'customer', 'user', 'day'];

/** @type {Opener} */
export function cost(main, at) {
	const by = at.params.get('by') ?? 'agent';
	const since = at.params.get('since') ?? '30d';
	let sql = '';
	let gone = false;
	const body = h('div.page');
	fill(
		main,
		h(
			'div.bar',
			h('h1', 'Cost'),
			choice(
				'By',
				at,
				'by',
				BY.map(b => [b, title(b)]),
				by,
			),
			choice('Time', at, 'since', WINDOWS.slice(1), since),
		),
		body,
	);
	(async () => {
		try {
			const got = /** @type {CostAnswer} */ (await api(link('/api/cost', { by, since }, at.params)));
			if (gone) return;
			sql = got.sql;
			fill(
				body,
				partly(at, [got]),
				tiles(
					got.totals,
					'cost:cost_usd:usd|reported:cost_reported_usd:usd|runs|calls|tokens_in:tokens_input:count|of_it_cached:tokens_cache_read:count|tokens_out:tokens_output:count|without_price:unpriced_calls',
				),
				table(
					`Cost by ${by}`,
					got.rows,
					`${title(by)}:key:${by === 'session' ? '/sessions/' : by === 'day' ? '' : `@${by}`}|Cost:cost_usd:usd|Reported:cost_reported_usd:usd|Runs::full|Calls::full|In:tokens_input:count|Cached:tokens_cache_read:count|Out:tokens_output:count|No_price:unpriced_calls:full`,
					undefined,
					{ since },
				),
				got.more.rows && h('p.note', `Only the first ${got.rows.length} are listed. The sums above have all.`),
				got.unpriced[0] && [
					h(
						'p.note.warn',
						'These costs are unknown, and in no sum. Set a price with ',
						h('code', 'runtraced prices set'),
						'.',
					),
					table(
						'Models without a price',
						got.unpriced,
						'Model::@model|Calls::full|Last:last_at:ago',
						undefined,
						{ since },
					),
					got.more.unpriced && h('p.note', `Only the first ${got.unpriced.length} are listed.`),
				],
			);
		} catch (e) {
			if (!gone) fill(body, fault(e));
		}
	})();
	return {
		sql: () => ({ Cost: sql }),
		close() {
			gone = true;
		},
	};
}
