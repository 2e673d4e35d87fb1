// The whole: how many runs, how many fail, how long, how much, what is slow and what fails.

import { api } from './api.js';
import { chart, choice, partly, table, tiles, WINDOWS } from './chart.js';
import { fault, fill, h } from './dom.js';
import { count, ms, usd } from './format.js';
import { link } from './url.js';

// Lines of a chart.
const GROUPS = 5;

/** @type {Opener} */
export function overview(main, at) {
	const since = at.params.get('since') ?? '24h';
	const by = at.params.get('by') ?? '';
	let sql = {};
	let gone = false;
	const body = h('div.page');
	const ask = changes => api(link('/api/stats', { since, by: null, ...changes }, at.params));
	fill(
		main,
		h(
			'div.bar',
			h('h1', 'Overview'),
			choice('Time', at, 'since', WINDOWS, since),
			choice(
				'By',
				at,
				'by',
				[
					['', 'All'],
					['agent', 'By agent'],
					['model', 'By model'],
					['tool', 'By tool'],
				],
				by,
			),
		),
		body,
	);

	async function load() {
		try {
			const s = /** @type {Stats} */ (await ask({}));
			// A line for each of the busiest: the runs of an agent, or those that call a model or tool.
			const keys =
				{ agent: s.agents.map(x => x.agent_id), model: s.models.map(x => x.model), tool: s.tools.map(x => x.name) }[by]
					?.filter(Boolean)
					.slice(0, GROUPS) ?? [];
			const groups = await Promise.all(keys.map(async key => ({ key, ...(await ask({ [by]: key })) })));
			if (gone) return;
			sql = s.sql;
			// The daemon leaves out times in which nothing ran.
			const width = s.bucket_s * 1000;
			const bucket = at => Math.floor(Date.parse(at) / width);
			const times = Array.from({ length: bucket(s.until) - bucket(s.since) + 1 }, (_, i) =>
				new Date((bucket(s.since) + i) * width).toISOString(),
			);
			const spread = (series, get) => {
				const values = times.map(() => null);
				for (const p of series) {
					const i = bucket(p.at) - bucket(s.since);
					// A clock that is ahead may have started a run after the window.
					if (i in values) values[i] = get(p);
				}
				return values;
			};
			/** A line for each group, or the lines of all runs together. */
			const over = (name, show, stacked, get, all) =>
				chart(
					name,
					times,
					groups.length
						? groups.map(g => [g.key, spread(g.series, get)])
						: all.map(([line, of]) => [line, spread(s.series, of)]),
					show,
					stacked,
				);
			const tokens = p => (p.tokens_input ?? 0) + (p.tokens_output ?? 0);
			const failing = s.tools
				.filter(t => t.failed)
				.map(t => ({ ...t, share: t.failed / t.calls }))
				.sort((p, q) => q.share - p.share);
			const cut = Object.keys(s.more).filter(list => s.more[list]);
			const slow = [...s.tools].sort((p, q) => (q.p95_ms ?? 0) - (p.p95_ms ?? 0));
			fill(
				body,
				partly(at, [s, ...groups]),
				tiles(
					{ ...s.totals, share: s.totals.runs ? s.totals.failed / s.totals.runs : null },
					'runs|failed|of_all:share:percent|running|p50:p50_ms:ms|p95:p95_ms:ms|p99:p99_ms:ms|waiting_p50:wait_p50_ms:ms|waiting_p95:wait_p95_ms:ms|waiting_p99:wait_p99_ms:ms|tokens_in:tokens_input:count|tokens_out:tokens_output:count|cost:cost_usd:usd|without_price:unpriced_calls',
				),
				h(
					'div.grid',
					over('Runs', count, true, p => p.runs, [
						['not failed', p => p.runs - p.failed],
						['failed', p => p.failed],
					]),
					by && over('Failures', count, true, p => p.failed, []),
					over(by ? 'Durations, p95' : 'Durations', ms, false, p => p.p95_ms, [
						['p50', p => p.p50_ms],
						['p95', p => p.p95_ms],
						['p99', p => p.p99_ms],
					]),
					over('Tokens', count, true, tokens, [
						['in', p => p.tokens_input],
						['out', p => p.tokens_output],
					]),
					over('Cost', usd, true, p => p.cost_usd, [['cost', p => p.cost_usd]]),
				),
				table(
					'Newest failures',
					s.errors,
					'Error::@error|Runs::full|Last:last_at:ago|Last_run:last_run_id:/runs/',
					'No run failed.',
					{ since },
				),
				h(
					'div.grid',
					table(
						'Slowest tools',
						slow.slice(0, 12),
						'Tool:name:@tool|Calls::full|p50:p50_ms:ms|p95:p95_ms:ms|In_all:total_ms:ms',
						undefined,
						{ since },
					),
					table(
						'Most failing tools',
						failing.slice(0, 12),
						'Tool:name:@tool|Calls::full|Failed::full|Share::percent',
						'No tool failed.',
						{ since },
					),
					table(
						'Agents',
						s.agents,
						'Agent:agent_id:@agent|Runs::full|Failed::full|p95:p95_ms:ms|Waited:waiting_ms:ms|Cost:cost_usd:usd',
						undefined,
						{ since },
					),
					table(
						'Models',
						s.models,
						'Model::@model|Calls::full|In:tokens_input:count|Cached:tokens_cache_read:count|Out:tokens_output:count|Cost:cost_usd:usd|No_price:unpriced_calls:full',
						undefined,
						{ since },
					),
				),
				cut[0] && h('p.note', `There are more ${cut.join(', ')} than are listed. The figures on top have all.`),
			);
		} catch (e) {
			if (!gone) fill(body, fault(e));
		}
	}
	load();
	const clock = setInterval(() => {
		if (!document.hidden && !at.params.has('wait')) load();
	}, 30_000);
	return {
		sql: () => sql,
		close() {
			gone = true;
			clearInterval(clock);
		},
	};
}
