-- analysis.open_study("outputs/reference").sql(…)
-- 4 queries, to be asked one by one
SELECT cell, activation, init, depth, lr, seed, step, layer, units, signal_grad_rms
FROM layers JOIN networks USING (cell)
WHERE start = 1 AND networks.depth = 32 AND step = 0
ORDER BY cell, step, layer;

SELECT cell, activation, init, depth, lr, seed, step, layer, units, weight_grad_norm
FROM layers JOIN networks USING (cell)
WHERE start = 1 AND networks.depth = 32 AND step = 0
ORDER BY cell, step, layer;

SELECT cell, activation, init, depth, lr, seed, step, layer, units, z_collapse
FROM layers JOIN networks USING (cell)
WHERE start = 1 AND networks.depth = 32 AND step = 0
ORDER BY cell, step, layer;

SELECT cell, activation, init, depth, lr, seed, step, layer, units, signal_grad_rms
FROM layers JOIN networks USING (cell)
WHERE start = 1 AND networks.depth = 32 AND step = 0 AND layer < depth
ORDER BY cell, step, layer;
