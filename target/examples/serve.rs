fn main() {
    let mut a = std::env::args().skip(1);
    let listen = a.next().unwrap().parse().unwrap();
    let cpus = a.next().map(|c| c.split(',').map(|c| c.parse().unwrap()).collect());
    let delay = std::time::Duration::from_millis(a.next().map_or(0, |d| d.parse().unwrap()));
    match onrush_target::Target::start(onrush_target::TargetConfig { listen, cpus, delay }) {
        Ok(t) => { println!("{}", t.address()); let mut s = String::new(); std::io::stdin().read_line(&mut s).ok(); drop(t); println!("dropped"); }
        Err(e) => { eprintln!("{e}"); std::process::exit(1) }
    }
}
