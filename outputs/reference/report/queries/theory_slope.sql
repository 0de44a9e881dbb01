-- analysis.open_study("outputs/reference").sql(…)
SELECT cell, activation, init, depth, lr, seed, step, layer, units, signal_grad_rms
FROM layers JOIN networks USING (cell)
WHERE start = 1 AND step = 0 AND layer < depth AND depth >= 4
ORDER BY cell, step, layer;
